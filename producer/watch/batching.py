"""From pairs that are good to batches that hold them, each pair in one. The rules are in the room's docstring."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from contract.errors import BatchConflict, NotFound
from contract.storage import Storage, StoredObject
from producer.batches import batch_rows
from producer.check import Checked
from producer.pairs import Pair
from producer.submit import name_batch, submit
from producer.watch.claims import Claims

BATCH_ROWS = 1000
"""Pairs that are seen together share a batch, up to so many."""
READ_BATCHES = 16
"""Read at a time, to find pairs that were claimed before."""

Inputs = tuple[str, str | None, str, str | None]
"""Address and ETag of a video, address and ETag of an audio: within a batch they tell rows apart."""


@dataclass(frozen=True, slots=True)
class Good:
    """A pair of the folder that can become a job."""

    id: str
    pair: Pair
    video: StoredObject
    audio: StoredObject

    @property
    def inputs(self) -> Inputs:
        """As its row has them."""
        return str(self.pair.video), self.video.etag, str(self.pair.audio), self.audio.etag


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pair was submitted."""

    batch: str
    job: str


Rows = dict[Inputs, str]
"""Jobs by their inputs."""


@dataclass(frozen=True)
class Submitted:
    """A batch that was submitted just now."""

    batch: str
    rows: int


@dataclass(frozen=True)
class Settled:
    """What is known of one batch now."""

    submitted: Submitted | None
    """None: others did."""
    places: dict[str, Place]
    """By id: the pairs that it holds."""


class Batching:
    """Claims pairs and submits their batches; what others began and left is completed."""

    def __init__(self, storage: Storage, name: str) -> None:
        self._storage = storage
        self._name = name
        self._claims = Claims(storage)

    def submit(self, good: Mapping[str, Good], now: datetime) -> Iterator[Settled]:
        """Have each pair in a batch, batch by batch.

        Left out are pairs that somebody claimed in the last minute and has not submitted yet.
        """
        standing = self._claims.standing(good)
        yield from self._complete(_by_batch(standing), good, now)
        free = [each for each in good if each not in standing]
        for start in range(0, len(free), BATCH_ROWS):
            group = free[start : start + BATCH_ROWS]
            batch = self._named(group)
            claimed = _by_batch(self._claims.claim(group, batch))
            if mine := claimed.get(batch):  # the others another watcher is about to submit
                yield from self._settle(batch, mine, good)

    def _complete(
        self, claimed: Mapping[str, list[str]], good: Mapping[str, Good], now: datetime
    ) -> Iterator[Settled]:
        """Find pairs that were claimed before in their batches; what nobody submits any more is submitted."""
        remaining = iter(claimed.items())
        while some := list(islice(remaining, READ_BATCHES)):
            for (batch, ids), rows in zip(some, self._read([batch for batch, _ in some]), strict=True):
                if rows is not None or self._claims.is_abandoned(ids[0], now):
                    yield from self._settle(batch, ids, good, rows)

    def _settle(
        self, batch: str, ids: Sequence[str], good: Mapping[str, Good], rows: Rows | None = None
    ) -> Iterator[Settled]:
        """Submit a batch of the pairs that are claimed for it, unless it has rows; pairs that are not in these are moved."""
        submitted = None
        if rows is None:
            submitted = self._submit(batch, [good[each] for each in ids])
            rows = self._rows(batch) or {}
        held = {each: Place(batch, rows[good[each].inputs]) for each in ids if good[each].inputs in rows}
        yield Settled(submitted, held)
        if left := [each for each in ids if each not in held]:
            other = self._named(left, after=batch)
            if moved := self._claims.move(left, batch, other):
                yield from self._settle(other, moved, good)

    def _submit(self, batch: str, good: Sequence[Good]) -> Submitted | None:
        videos = {str(each.pair.video): each.video for each in good}
        audios = {str(each.pair.audio): each.audio for each in good}
        pairs = [each.pair for each in good]
        return put(self._storage, Checked(self._name, pairs, [], videos | audios, pinned=True), batch)

    def _read(self, batches: Sequence[str]) -> list[Rows | None]:
        with ThreadPoolExecutor(READ_BATCHES) as pool:
            return list(pool.map(self._rows, batches))

    def _rows(self, batch: str) -> Rows | None:
        """The jobs of a batch by their inputs; None: it has no rows yet."""
        try:
            jobs = [row.job for row in batch_rows(self._storage, batch)]
        except NotFound:
            return None
        return {(job.video.uri, job.video.etag, job.audio.uri, job.audio.etag): job.id for job in jobs}

    def _named(self, ids: Iterable[str], after: str = "") -> str:
        """The same pairs give the same name, but for those that lost the batch `after`."""
        return name_batch(self._name, "\n".join([after, *sorted(ids)]).encode())


def put(storage: Storage, checked: Checked, batch: str) -> Submitted | None:
    """Submit under that name; None where others did already, with these rows or with other ones."""
    try:
        done = submit(checked, storage, batch=batch, look_back=False)
    except BatchConflict:
        return None
    return None if done.already else Submitted(batch, done.rows)


def _by_batch(claimed: Mapping[str, str]) -> dict[str, list[str]]:
    batches: dict[str, list[str]] = {}
    for each, batch in claimed.items():
        batches.setdefault(batch, []).append(each)
    return batches
