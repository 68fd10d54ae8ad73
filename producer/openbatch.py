"""A batch that is being fed: a cursor over its rows, and the sums of those that have ended."""

from collections import Counter, deque
from contextlib import closing
from itertools import islice

from contract import keys
from contract.job import Row
from contract.manifest import Manifest
from contract.storage import Storage
from contract.summary import Summary

READ_ROWS = 500
"""Rows read ahead: a batch of any length takes this much memory."""


class OpenBatch:
    """Hands out each row once, and knows when all of them have ended."""

    def __init__(self, storage: Storage, name: str, size_bytes: int) -> None:
        self.name = name
        self._storage = storage
        self._size_bytes = size_bytes
        self._read_bytes = 0
        self._ahead: deque[Row] = deque()
        self._unended = 0
        self._counts: Counter[str] = Counter()
        self._seconds = 0.0
        self._cost = 0.0
        self._currency = ""

    def take(self) -> Row | None:
        """The next row, or None after the last.

        Raises:
            InputNotFound: the batch is gone.
            pydantic.ValidationError: another version of Dubline wrote it.
        """
        if not self._ahead:
            self._read_on()
        if not self._ahead:
            return None
        self._unended += 1
        return self._ahead.popleft()

    def count(self, row: str, manifest: Manifest) -> None:
        """Note that a row which was taken has ended."""
        self._unended -= 1
        self._counts[manifest.status] += 1
        self._seconds += manifest.output.duration_seconds if manifest.output else 0.0
        if (manifest.batch, manifest.row) != (self.name, row):
            self._counts["reused"] += 1
        elif manifest.cost:
            self._cost += manifest.cost.amount
            self._currency = manifest.cost.currency

    @property
    def ended(self) -> bool:
        """No row is left, and none that was taken is still to end."""
        return self._read_bytes >= self._size_bytes and not self._ahead and not self._unended

    def summary(self, currency: str) -> Summary:
        """The sums so far; `currency` names the unit where nothing has cost anything."""
        succeeded, failed, cancelled = (self._counts[each] for each in ("succeeded", "failed", "cancelled"))
        return Summary(
            batch=self.name,
            rows=succeeded + failed + cancelled,
            succeeded=succeeded,
            failed=failed,
            cancelled=cancelled,
            reused=self._counts["reused"],
            output_minutes=round(self._seconds / 60, 3),
            cost=round(self._cost, 6),
            currency=self._currency or currency,
        )

    def _read_on(self) -> None:
        if self._read_bytes >= self._size_bytes:
            return
        with closing(self._storage.lines(keys.rows(self.name), start=self._read_bytes)) as lines:
            for line in islice(lines, READ_ROWS):
                self._ahead.append(Row.model_validate_json(line))
                self._read_bytes += len(line) + 1
