"""A batch that is being fed: a cursor over its rows for each priority, and the sums of those that have ended."""

import json
from collections import Counter, deque
from collections.abc import Collection, Iterator
from contextlib import closing
from typing import Any, get_args

from contract import keys
from contract.cancel import CancelRequest
from contract.job import Priority, Row
from contract.manifest import Manifest
from contract.storage import Storage
from contract.summary import Summary

READ_ROWS = 500
"""Rows of one priority read ahead: a batch of any length takes this much memory."""
SKIP_ROWS = 5000
"""Rows of other priorities passed over in one reading: a step does not read the whole of a long batch."""


class OpenBatch:
    """Hands out each row once, and knows when all of them have ended."""

    def __init__(self, storage: Storage, name: str, size_bytes: int, requeued: str | None = None) -> None:
        self.name = name
        self.requeued = requeued
        """The version of the note that rows were requeued which stood when this was opened; another: begin anew."""
        self.cancel: CancelRequest | None = None
        """What a person wants not to be rendered."""
        self.cancel_etag: str | None = None
        """The version of it that was read."""
        self._storage = storage
        self._cursors = {each: _Cursor(storage, name, size_bytes, each) for each in get_args(Priority)}
        self._unended = 0
        self._counts: Counter[str] = Counter()
        self._seconds = 0.0
        self._cost = 0.0
        self._currency = ""

    def take(self, priority: Priority) -> Row | None:
        """The next row of that priority, or None: there is none, or none was found yet.

        Raises:
            InputNotFound: the batch is gone.
            pydantic.ValidationError: another version of Dubline wrote it.
        """
        row = self._cursors[priority].take()
        self._unended += row is not None
        return row

    def named(self, rows: Collection[str]) -> Iterator[Row]:
        """The rows of these names, wherever they stand and whether or not they were taken.

        Raises: as `take`.
        """
        missing = set(rows)
        with closing(self._storage.lines(keys.rows(self.name))) as lines:
            for line in lines:
                if not missing:
                    return
                if (name := _field(line, "id")) in missing:
                    missing.discard(name)
                    yield Row.model_validate_json(line)

    def is_cancelled(self, row: str) -> bool:
        """Whether a person wants this row not to be rendered."""
        return self.cancel is not None and self.cancel.covers(row)

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
    def left(self) -> int:
        """Rows that have not ended; known to the row once the rows are read, until then told by their mean length."""
        if self.cancel is not None and self.cancel.rows is None:
            return self._unended
        ahead = max(self._cursors.values(), key=lambda each: each.read_bytes)
        return max(ahead.rows - self._counts.total() + self._counts["reused"], self._unended)

    @property
    def ended(self) -> bool:
        """No row is left, and none that was taken is still to end."""
        return not self._unended and all(each.is_at_end for each in self._cursors.values())

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
            requeued=self.requeued,
        )


class _Cursor:
    """The rows of one priority, in their order; those of the others are passed over."""

    def __init__(self, storage: Storage, batch: str, size_bytes: int, priority: Priority) -> None:
        self._storage = storage
        self._key = keys.rows(batch)
        self._size_bytes = size_bytes
        self._priority = priority
        self.read_bytes = 0
        self._read_rows = 0
        self._ahead: deque[Row] = deque()

    @property
    def is_at_end(self) -> bool:
        return self.read_bytes >= self._size_bytes and not self._ahead

    @property
    def rows(self) -> int:
        """All rows of the batch, if those that were not read are as long as the others in the mean."""
        if not self.read_bytes:
            return 0
        unread_bytes = max(self._size_bytes - self.read_bytes, 0)
        return self._read_rows + round(unread_bytes * self._read_rows / self.read_bytes)

    def take(self) -> Row | None:
        if not self._ahead:
            self._read_on()
        return self._ahead.popleft() if self._ahead else None

    def _read_on(self) -> None:
        if self.read_bytes >= self._size_bytes:
            return
        skipped = 0
        with closing(self._storage.lines(self._key, start=self.read_bytes)) as lines:
            for line in lines:
                if _priority(line) == self._priority:
                    self._ahead.append(Row.model_validate_json(line))
                else:
                    skipped += 1
                self.read_bytes += len(line) + 1
                self._read_rows += 1
                if len(self._ahead) >= READ_ROWS or skipped >= SKIP_ROWS:
                    return


def _priority(line: bytes) -> Priority:
    """Of a row; what this version does not know counts as normal, so that somebody takes it and says so."""
    found = _field(line, "priority")
    return found if found in ("low", "high") else "normal"


def _field(line: bytes, name: str) -> Any:
    """One field of a row that is not looked at any closer."""
    try:
        return json.loads(line).get(name)
    except (ValueError, AttributeError):
        return None
