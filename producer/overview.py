"""Everything at one moment: batches from the store and the ledger, workers from their roster, the queue from the broker."""

import time
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from contract import keys
from contract.errors import BrokerUnavailable
from contract.ledger import Ledger
from contract.queue import Queue, QueueFigures
from contract.settings import Settings
from contract.storage import Storage, StoredObject
from contract.workers import Roster, Worker
from producer.status import BatchCounts, BatchView, counted, standing_summary, summed

LISTING_SECONDS = 5.0
"""Pause between two listings of the batches."""


@dataclass(frozen=True)
class Scene:
    """Everything, at one moment."""

    batches: list[BatchCounts]
    """By their names."""
    submitted: dict[str, datetime]
    """When each batch was, by the store's clock."""
    workers: list[Worker]
    queue: QueueFigures | None
    """None while Redis is away."""
    live: bool = True
    """False: Redis is away; workers are not known, and of batches what was known last."""
    note: str = ""
    """Why this is not how it is now, where the store is away."""

    def record(self) -> dict[str, Any]:
        """For scripts."""
        queue = {**asdict(self.queue), "depth": self.queue.depth} if self.queue else None
        return {
            "batches": [{**asdict(each), "submitted": self._when(each.batch)} for each in self.batches],
            "workers": [asdict(each) for each in self.workers],
            "queue": queue,
            "live": self.live,
            "note": self.note,
        }

    def _when(self, batch: str) -> str | None:
        found = self.submitted.get(batch)
        return found.isoformat() if found else None


class Overview:
    """Looks at everything, again and again; what has ended is not asked for twice."""

    def __init__(self, storage: Storage, ledger: Ledger, roster: Roster, queue: Queue) -> None:
        self._storage = storage
        self._ledger = ledger
        self._roster = roster
        self._queue = queue
        self._listed: dict[str, StoredObject] = {}
        self._etags: dict[str, str] = {}
        self._names: list[str] = []
        self._next_listing = 0.0
        self._open: dict[str, BatchView] = {}
        self._ended: dict[str, BatchCounts] = {}
        self._paces: dict[str, float] = {}
        self._batches: list[BatchCounts] | None = None

    @classmethod
    def of(cls, settings: Settings) -> "Overview":
        """Of the services that the settings name; nothing connects yet."""
        return cls(Storage(settings), Ledger(settings), Roster(settings), Queue(settings))

    def look(self) -> Scene:
        """Everything now. Raises StoreUnavailable while the store is away."""
        workers, queue = self._ask_redis()
        live = queue is not None
        if live or self._batches is None:  # each of them would wait for Redis
            self._list()
            self._batches = [self._batch(name) for name in self._names]
        submitted = {name: self._listed[keys.rows(name)].modified for name in self._names}
        return Scene(self._batches, submitted, workers, queue, live)

    def _ask_redis(self) -> tuple[list[Worker], QueueFigures | None]:
        try:
            return self._roster.workers(), self._queue.look()
        except BrokerUnavailable:
            return [], None

    def _list(self) -> None:
        """Which batches there are; those that ended or were requeued meanwhile are looked at anew."""
        if time.monotonic() < self._next_listing:
            return
        before, self._listed = self._listed, {each.key: each for each in self._storage.list(keys.BATCHES)}
        for key in before.keys() | self._listed.keys():
            if before.get(key) != self._listed.get(key):
                self._open.pop(_batch_of(key), None)
                self._ended.pop(_batch_of(key), None)
        names = set(map(_batch_of, self._listed))
        self._names = sorted(name for name in names if keys.rows(name) in self._listed)
        self._etags = {key: each.etag for key, each in self._listed.items()}
        self._next_listing = time.monotonic() + LISTING_SECONDS

    def _batch(self, name: str) -> BatchCounts:
        if name in self._ended:
            return self._ended[name]
        if name not in self._open:
            if summary := standing_summary(self._storage, name, self._etags):
                self._ended[name] = summed(summary)
                return self._ended[name]
            self._open[name] = BatchView(self._storage, self._ledger, name)
        status = self._open[name].look()
        if status.fps:  # kept: between two jobs a worker draws nothing for a while
            self._paces[name] = status.fps
        return counted(status, self._paces.get(name))


def _batch_of(key: str) -> str:
    return key.removeprefix(keys.BATCHES).partition("/")[0]
