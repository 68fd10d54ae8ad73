"""Ending rows that a person cancelled: stop whoever holds them, commit for those that nobody holds."""

import platform
import secrets
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime

from contract import keys
from contract.errors import Cancelled
from contract.job import Row
from contract.ledger import STATE_OF, Ledger
from contract.manifest import Attempt, ErrorRecord, Manifest
from contract.storage import Storage


@dataclass(frozen=True)
class CancelledRow:
    """A row that shall not be rendered, and the batch that it belongs to."""

    batch: str
    row: Row


class Canceller:
    """Commits `cancelled` by the same conditional put as every result: cancel and success cannot both win."""

    def __init__(self, storage: Storage, ledger: Ledger, threads: Executor) -> None:
        self._storage = storage
        self._ledger = ledger
        self._threads = threads

    def end(self, cancelled: Sequence[CancelledRow]) -> frozenset[str]:
        """Ids of the jobs that have ended now, one way or another. The others are held: their workers have been told.

        A claim of a flagged job is refused, so nobody begins one between the question and the commit; and if the
        ledger was wiped just then, whoever runs it loses the put.
        """
        held = set(self._ledger.cancel([each.row.job.id for each in cancelled]))
        free = [each for each in cancelled if each.row.job.id not in held]
        for each, ours in zip(free, self._threads.map(self._commit, free), strict=True):
            if ours:  # else whoever reads the result that was there before tells the ledger
                self._ledger.finish(each.row.job.id, STATE_OF["cancelled"])
        return frozenset(each.row.job.id for each in free)

    def _commit(self, cancelled: CancelledRow) -> bool:
        """Whether it is cancelled now; False: it has another result."""
        row, now = cancelled.row, datetime.now(UTC)
        manifest = Manifest(
            status="cancelled",
            job_id=row.job.id,
            batch=cancelled.batch,
            row=row.id,
            job=row.job.without_secrets(),
            attempt=Attempt(id=secrets.token_hex(8), number=0, host=platform.node(), started=now, ended=now),
            error=ErrorRecord.of(Cancelled("cancelled before a worker had begun, or between two attempts")),
        )
        body = manifest.model_dump_json(indent=1).encode()
        return self._storage.put_if_absent(keys.manifest(row.job.id), body) == body
