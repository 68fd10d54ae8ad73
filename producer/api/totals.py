"""What lies in the store of a caller's batches: which there are, where their rows stand, what they came to."""

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from contract import keys
from contract.errors import NotFound
from contract.ledger import ENDED, Ledger
from contract.storage import Storage
from contract.summary import Summary
from producer.api.answers import BatchHead, FirstAnswer, TotalsAnswer, batch_links
from producer.api.lookup import Recent
from producer.batches import MANIFEST_LIMIT, OWNED, batch_rows, manifests, of_this_version, owned
from producer.status import BatchStatus, BatchView, RowState

LOOK_SECONDS = 0.5
"""A batch is looked at so often at most, however many ask."""
VIEWS = 8
"""Batches in motion that a process keeps in mind."""
FIRSTS = 50_000
THREADS = 16


@dataclass(frozen=True)
class First:
    """The first row of a batch, which never changes, and whose it is."""

    owner: str | None
    job: str
    row: str


@dataclass(frozen=True)
class Listed:
    """A batch as a listing shows it."""

    name: str
    created: datetime
    has_summary: bool
    requeued: str | None


class Batches:
    """The batches of the store, for their owners. From any thread."""

    def __init__(self, storage: Storage, ledger: Ledger, currency: str) -> None:
        self._storage = storage
        self._ledger = ledger
        self._currency = currency
        self._firsts: Recent[str, First | None] = Recent(FIRSTS, 0, lambda _: True)
        self._moving: OrderedDict[tuple[str, str | None], Moving] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, owner: str | None) -> list[Listed]:
        """All batches of an owner, the newest first."""
        listed = list(self._listed(owned(owner, "")))
        with ThreadPoolExecutor(THREADS) as pool:
            theirs = list(
                pool.map(lambda each: self._owner(each.name) if OWNED in each.name else None, listed)
            )
        mine = [each for each, of in zip(listed, theirs, strict=True) if of == owner]
        return sorted(mine, key=lambda each: (each.created, each.name), reverse=True)

    def _listed(self, prefix: str) -> Iterator[Listed]:
        found = {each.key: each for each in self._storage.list(keys.BATCHES + prefix)}
        for name in {key.removeprefix(keys.BATCHES).partition("/")[0] for key in found}:
            if rows := found.get(keys.rows(name)):
                note = found.get(keys.requeued(name))
                yield Listed(name, rows.modified, keys.summary(name) in found, note.etag if note else None)

    def find(self, owner: str | None, name: str) -> Listed:
        """The batch of that name.

        Raises:
            NotFound: there is none, or it is another's.
        """
        missing = f"there is no batch {name[:120]!r}; GET /batches lists yours"
        try:
            is_theirs = self._owner(name) == owner
        except NotFound as error:
            raise NotFound(missing) from error
        rows = self._storage.stat(keys.rows(name)) if is_theirs else None
        if rows is None:
            raise NotFound(missing)
        note = self._storage.stat(keys.requeued(name))
        has_summary = self._storage.stat(keys.summary(name)) is not None
        return Listed(name, rows.modified, has_summary, note.etag if note else None)

    def _owner(self, name: str) -> str | None:
        first = self._first(name)
        return first.owner if first else None

    def _first(self, name: str) -> First | None:
        """Its first row.

        Raises:
            NotFound: there is no such batch.
        """
        with self._lock:
            if known := self._firsts.get(name):
                return known[0]
        row = next(batch_rows(self._storage, name), None)
        with self._lock:
            return self._firsts.put(name, First(row.job.owner, row.job.id, row.id) if row else None)

    def head(self, owner: str | None, listed: Listed) -> BatchHead:
        """A batch in one line: of one that has ended from its summary, else row by row."""
        summary = self._summary(listed)
        if summary:
            return self._head(owner, listed, summary.rows, _counts(summary), _totals(summary))
        status, totals = self.look(listed)
        return self._head(owner, listed, len(status.rows), status.counts, totals)

    def _head(
        self,
        owner: str | None,
        listed: Listed,
        rows: int,
        counts: dict[RowState, int],
        totals: TotalsAnswer,
    ) -> BatchHead:
        first = self._first(listed.name)
        return BatchHead(
            id=listed.name,
            name=listed.name.removeprefix(owned(owner, "")),
            first=FirstAnswer(id=first.job, row=first.row) if first else None,
            created=listed.created.isoformat(),
            rows=rows,
            ended=counts.keys() <= ENDED,
            counts=counts,
            totals=totals,
            links=batch_links(listed.name),
        )

    def _summary(self, listed: Listed) -> Summary | None:
        """The sums of a batch that has ended, unless rows were requeued since."""
        body = self._storage.get(keys.summary(listed.name)) if listed.has_summary else None
        if body is None:
            return None
        with of_this_version(f"the summary of batch {listed.name}"):
            summary = Summary.model_validate_json(body)
        return summary if summary.requeued in (None, listed.requeued) else None

    def look(self, listed: Listed) -> tuple[BatchStatus, TotalsAnswer]:
        """Where its rows stand, and what they came to."""
        key = listed.name, listed.requeued  # rows that were requeued are looked at from the start
        with self._lock:
            moving = self._moving.pop(key, None) or Moving(self._currency)
            self._moving[key] = moving
            if len(self._moving) > VIEWS:
                self._moving.popitem(last=False)
        return moving.look(self._storage, self._ledger, listed.name)


class Moving:
    """One batch that is looked at again and again."""

    def __init__(self, currency: str) -> None:
        self._lock = threading.Lock()
        self._view: BatchView | None = None
        self._looked: tuple[float, BatchStatus] | None = None
        self._tallied: set[str] = set()
        self._seconds = 0.0
        self._cost = 0.0
        self._currency = currency

    def look(self, storage: Storage, ledger: Ledger, batch: str) -> tuple[BatchStatus, TotalsAnswer]:
        """As it stands now, or stood a moment ago."""
        with self._lock:
            if self._looked is None or time.monotonic() - self._looked[0] > LOOK_SECONDS:
                self._view = self._view or BatchView(storage, ledger, batch)
                status = self._view.look()
                self._tally(storage, status)
                self._looked = time.monotonic(), status
            return self._looked[1], self._totals(self._looked[1])

    def _tally(self, storage: Storage, status: BatchStatus) -> None:
        """Add what has ended since; of very many at once some now and the rest at the next looks."""
        fresh = [row for row in status.rows if row.state in ENDED and row.id not in self._tallied][
            :MANIFEST_LIMIT
        ]
        for row, manifest in zip(fresh, manifests(storage, [row.job for row in fresh]), strict=True):
            if manifest is None:
                continue
            self._tallied.add(row.id)
            self._seconds += manifest.output.duration_seconds if manifest.output else 0.0
            if manifest.cost and (manifest.batch, manifest.row) == (status.batch, row.id):
                self._cost += manifest.cost.amount
                self._currency = manifest.cost.currency

    def _totals(self, status: BatchStatus) -> TotalsAnswer:
        counted = Counter(row.state for row in status.rows)
        return TotalsAnswer(
            done=counted["done"],
            failed=counted["failed"],
            cancelled=counted["cancelled"],
            minutes=round(self._seconds / 60, 3),
            cost=round(self._cost, 6),
            currency=self._currency,
        )


def _counts(summary: Summary) -> dict[RowState, int]:
    counts: dict[RowState, int] = {
        "done": summary.succeeded,
        "failed": summary.failed,
        "cancelled": summary.cancelled,
    }
    return {state: number for state, number in counts.items() if number}


def _totals(summary: Summary) -> TotalsAnswer:
    return TotalsAnswer(
        done=summary.succeeded,
        failed=summary.failed,
        cancelled=summary.cancelled,
        minutes=summary.output_minutes,
        cost=summary.cost,
        currency=summary.currency,
    )
