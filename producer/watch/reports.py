"""`<name>.error.json` in a drop folder: why something is not submitted. It goes when that is no longer so."""

import logging
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, ValidationError

from contract.errors import BadRequest, DublineError
from contract.job import Boundary
from contract.storage import Storage, StoredObject
from producer.watch.folder import REPORT_SUFFIX, Folder

logger = logging.getLogger(__name__)

FAULTS_SHOWN = 1000
"""Of a CSV with more bad rows than that only so many are listed."""


class ReportedFault(Boundary):
    """One thing that is wrong."""

    code: str
    message: str
    line: int | None = Field(default=None, exclude_if=lambda line: line is None)
    """Of a CSV."""


class Report(Boundary):
    """All that is wrong with what goes by one name."""

    schema_version: Literal[1] = 1
    name: str
    """What it is about, as a path below the folder."""
    faults: tuple[ReportedFault, ...]

    @classmethod
    def of(cls, name: str, error: DublineError, *, with_lines: bool = False) -> "Report":
        """What an error says: a fault for each bad row, or itself; `with_lines`: the rows are those of a file."""
        faults = error.faults if isinstance(error, BadRequest) else ()
        listed = [
            ReportedFault(code=each.code, message=each.message, line=each.line if with_lines else None)
            for each in faults[:FAULTS_SHOWN]
        ]
        whole = ReportedFault(code=error.code, message=error.message)
        return cls(name=name, faults=(whole, *listed) if with_lines or not listed else tuple(listed))

    def __add__(self, other: "Report") -> "Report":
        return self.model_copy(update={"faults": self.faults + other.faults})

    def __str__(self) -> str:
        most = "; ".join(each.message for each in self.faults[:2])
        return f"{self.name}: {most}{'; ...' if len(self.faults) > 2 else ''}"


class Reports:
    """Puts reports that are new or other than before, and removes those that hold no more."""

    def __init__(self, storage: Storage, folder: Folder) -> None:
        self._storage = storage
        self._folder = folder
        self._told: dict[str, Report] = {}
        """By key."""

    def tell(self, wanted: Mapping[str, Report], present: Mapping[str, StoredObject]) -> None:
        """Let exactly these reports lie in the folder; `wanted` is by the name that people see, with its folder."""
        by_key = {f"{self._folder.prefix}{name}{REPORT_SUFFIX}": report for name, report in wanted.items()}
        for key, report in by_key.items():
            if key not in present or self._told.get(key) != report:
                self._storage.put(self._folder.address(key), report.model_dump_json(indent=1).encode())
            if self._told.get(key) != report:
                logger.warning("not submitted: %s", report)
        self._told = by_key
        for key, found in present.items():
            if key not in by_key:
                self._remove(found)

    def _remove(self, found: StoredObject) -> None:
        address = self._folder.address(found.key)
        body = self._storage.get(address)
        if body and _is_ours(body):
            self._storage.delete_if_same(address, found.etag)


def _is_ours(body: bytes) -> bool:
    """Whether a report of that name is one: what people call so is theirs."""
    try:
        Report.model_validate_json(body)
    except ValidationError:
        return False
    return True
