"""From pairs that are good to batches that hold them, each pair in one. The rules are in the room's docstring."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from contract import keys
from contract.errors import BatchConflict
from contract.job import Job
from contract.storage import Storage, StoredObject
from producer.batches import batch_rows
from producer.check import Checked
from producer.pairs import Pair
from producer.submit import name_batch, submit
from producer.watch.claims import Claims

BATCH_ROWS = 1000
"""Pairs that are seen together share a batch, up to so many."""

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


@dataclass(frozen=True)
class Submitted:
    """A batch that was submitted just now."""

    batch: str
    rows: int


class Batching:
    """Claims pairs and submits their batches; what others began and left is completed."""

    def __init__(self, storage: Storage, name: str) -> None:
        self._storage = storage
        self._name = name
        self._claims = Claims(storage)

    def submit(
        self, good: Mapping[str, Good], now: datetime
    ) -> Iterator[tuple[Submitted | None, dict[str, Place]]]:
        """Have each pair in a batch: what was submitted, and where pairs are, batch by batch.

        Left out are pairs that somebody claimed in the last minute and has not submitted yet.
        """
        standing = self._claims.standing(good)
        for batch, ids in _by_batch(standing):
            if self._stands(batch) or self._claims.is_abandoned(ids[0], now):
                yield from self._settle(batch, ids, good)
        free = [each for each in good if each not in standing]
        for start in range(0, len(free), BATCH_ROWS):
            group = free[start : start + BATCH_ROWS]
            batch = self._named(group)
            for claimed, ids in _by_batch(self._claims.claim(group, batch)):
                if claimed == batch:  # else another watcher is about to submit them
                    yield from self._settle(batch, ids, good)

    def _settle(
        self, batch: str, ids: Sequence[str], good: Mapping[str, Good]
    ) -> Iterator[tuple[Submitted | None, dict[str, Place]]]:
        """Submit a batch of the pairs that are claimed for it, or, where it stands, see which of them it holds."""
        submitted = self._submit(batch, [good[each] for each in ids])
        rows = dict(self._rows(batch))
        held = {each: rows[good[each].inputs] for each in ids if good[each].inputs in rows}
        yield submitted, {each: Place(batch, job.id) for each, job in held.items()}
        if left := [each for each in ids if each not in held]:
            other = self._named(left, after=batch)
            moved = self._claims.move(left, batch, other)
            if moved:
                yield from self._settle(other, moved, good)

    def _submit(self, batch: str, good: Sequence[Good]) -> Submitted | None:
        if self._stands(batch):
            return None
        pins = {str(each.pair.video): each.video for each in good} | {
            str(each.pair.audio): each.audio for each in good
        }
        checked = Checked(self._name, [each.pair for each in good], [], pins, pinned=True)
        return put(self._storage, checked, batch)

    def _stands(self, batch: str) -> bool:
        return self._storage.stat(keys.rows(batch)) is not None

    def _rows(self, batch: str) -> Iterator[tuple[Inputs, Job]]:
        for row in batch_rows(self._storage, batch):
            video, audio = row.job.video, row.job.audio
            yield (video.uri, video.etag, audio.uri, audio.etag), row.job

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


def _by_batch(claimed: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    batches: dict[str, list[str]] = {}
    for each, batch in claimed.items():
        batches.setdefault(batch, []).append(each)
    yield from batches.items()
