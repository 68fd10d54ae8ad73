"""Rows that came by HTTP become a batch, by the same road as those of a CSV file."""

import logging
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from contract import keys
from contract.errors import BY_CODE, BadRequest, BatchConflict, ConfigurationError, InputForbidden
from contract.job import Row
from contract.settings import Settings
from contract.storage import Storage
from producer.api.bodies import Cells, text_of
from producer.batches import batch_rows, owned
from producer.cells import Place, has_scheme, place_of, webhook_of
from producer.check import Checked, check_reading
from producer.pairs import Reading, pairs_of
from producer.submit import Submission, rows_of, submit
from producer.table import COLUMNS, Record, read_table, unknown

logger = logging.getLogger(__name__)

JOB_DIGITS = 40
"""Of a job's id, in the name of the batch that holds it alone."""
_CONTENT = re.compile(rf"{keys.INPUTS}([0-9a-f]{{64}})(\.[a-z0-9]{{1,8}})?")


class Submitter:
    """Submits for one owner; None: whoever sits at this machine."""

    def __init__(self, storage: Storage, settings: Settings, owner: str | None) -> None:
        self._storage = storage
        self._settings = settings
        self._owner = owner

    def one(self, cells: Mapping[str, str]) -> Row:
        """One row, in a batch of its own: the same work is the same job, and is not asked for twice.

        Raises:
            InputRejected: its class says what is wrong.
        """
        checked = self._check("job", _records([cells]))
        if checked.faults:
            raise _the_fault(checked)
        (row,) = rows_of(checked, {}, owner=self._owner)
        batch = single_name(self._owner, row.job.id)
        try:
            _say(submit(checked, self._storage, batch=batch, owner=self._owner), row.job.id)
        except (
            BatchConflict
        ):  # the same job under another name or priority: it stands as it was asked for first
            (row,) = batch_rows(self._storage, batch)
        return row

    def many(
        self, rows: Iterable[Cells], name: str | None, skip_bad: bool, webhook: str | None
    ) -> Submission:
        """Rows as JSON; `webhook` is told when all of them have ended.

        Raises:
            BadRequest: rows have faults, and are not to be skipped.
            BatchConflict: a batch of that name holds other rows.
        """
        return self._submit(_records(map(text_of, rows)), name, skip_bad, webhook)

    def table(self, csv: bytes, name: str | None, skip_bad: bool, webhook: str | None) -> Submission:
        """A CSV as it was uploaded.

        Raises: as `many`.
        """
        with tempfile.TemporaryDirectory(prefix="dubline-") as folder:
            path = Path(folder, "upload.csv")
            path.write_bytes(csv)
            return self._submit(read_table(path, "the CSV"), name, skip_bad, webhook)

    def _submit(
        self, records: Iterable[Record], name: str | None, skip_bad: bool, webhook: str | None
    ) -> Submission:
        with _no_webhooks():
            told = webhook_of(webhook or "", self._settings)
        checked = self._check("batch", records)
        batch = owned(self._owner, name) if name else None
        done = submit(checked, self._storage, batch=batch, skip_bad=skip_bad, owner=self._owner, webhook=told)
        _say(done)
        return done

    def _check(self, name: str, records: Iterable[Record]) -> Checked:
        with _no_webhooks():
            reading = pairs_of(records, "the CSV", self._resolver(), self._settings)
        contents = self._contents(reading)
        return replace(check_reading(name, reading, self._storage, self._settings), contents=contents)

    def _resolver(self) -> Callable[[str], Place]:
        def resolve(text: str) -> Place:
            if text and not has_scheme(text):
                raise BadRequest(
                    f"{text[:200]!r} is no address; write s3://bucket/key, or upload the file first"
                )
            place = place_of(text, Path(), self._settings)
            self._refuse_others(str(place))
            return place

        return resolve

    def _refuse_others(self, address: str) -> None:
        """A key reads what it uploaded, and buckets that were opened to keys: not all that our credentials reach."""
        bucket, _, key = address.removeprefix("s3://").partition("/")
        if self._owner is None or not address.startswith("s3://") or bucket in self._settings.api_buckets:
            return
        if bucket != self._storage.bucket or not key.startswith(keys.INPUTS):
            raise InputForbidden(
                f"{address}: keys of this API may not read there; upload the file, or have the bucket added to api_buckets"
            )

    def _contents(self, reading: Reading) -> dict[str, str]:
        """The SHA-256 of inputs that lie under their content in our bucket: that is their identity, as of local files."""
        ours = f"s3://{self._storage.bucket}/"
        matches = (
            (each.address, _CONTENT.fullmatch(each.address.removeprefix(ours)))
            for each in reading.mentions()
            if each.address.startswith(ours)
        )
        return {address: match[1] for address, match in matches if match}


def _say(done: Submission, job: str | None = None) -> None:
    """Log a submission that is new."""
    if not done.already:
        named = {"batch": done.batch, **({"job": job} if job else {})}
        logger.info("batch %s: %d rows submitted", done.batch, done.rows, extra=named)


def single_name(owner: str | None, job: str) -> str:
    """The batch that holds this job alone."""
    return owned(owner, f"job-{job[:JOB_DIGITS]}")


@contextmanager
def _no_webhooks() -> Iterator[None]:
    """A server that cannot sign webhooks is not asked for them: to change that is not the client's to do."""
    try:
        yield
    except ConfigurationError as error:
        raise BadRequest("this server has no secret to sign webhooks with; leave webhook_url out") from error


def _records(rows: Iterable[Mapping[str, str]]) -> Iterator[Record]:
    for line, cells in enumerate(rows, 1):
        problems = [unknown(name[:100]) for name in cells if name not in COLUMNS]
        yield Record(line, dict(cells), "; ".join(problems))


def _the_fault(checked: Checked) -> Exception:
    """Of one row: a single fault by its own code."""
    first, *others = checked.faults
    if not others and first.code != BadRequest.code:
        return BY_CODE[first.code](first.message)
    return BadRequest("; ".join(each.message for each in checked.faults), checked.faults)
