"""For people who like an empty folder: inputs whose video is made go to `archive/` beside it, and nothing else ever does."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from contract import keys
from contract.errors import BadRequest, InputChanged, InputNotFound
from contract.job import Boundary, Row
from contract.storage import Storage, StoredObject
from contract.summary import Summary
from producer.batches import batch_rows, manifests, of_this_version
from producer.watch.batching import Place
from producer.watch.folder import Folder
from producer.watch.names import Dropped
from producer.watch.tables import Table

ARCHIVE = "archive"


class Part(Boundary):
    """One version of an object on its way."""

    source: str
    target: str
    etag: str


class Move(Boundary):
    """`drop-archive/<id>.json`: put before anything moves, so that no half of a pair stays behind when a watcher dies."""

    schema_version: Literal[1] = 1
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class _Done:
    """Something whose jobs have all succeeded."""

    id: str
    batch: str
    parts: tuple[StoredObject, ...]


class Archive:
    """Moves what is done with, and completes what others began to move.

    Raises:
        BadRequest: the folder is where they would go, and what was moved would be dropped again.
    """

    def __init__(self, storage: Storage, folder: Folder) -> None:
        if folder.beside(ARCHIVE, "") == folder.prefix:
            raise BadRequest(f"{folder.address()} would be its own archive; watch a folder of another name")
        self._storage = storage
        self._folder = folder

    def tidy(
        self,
        pairs: Mapping[str, Dropped],
        tables: Mapping[str, Table],
        places: Mapping[str, Place],
        batches: Mapping[str, str],
    ) -> int:
        """Move what can go; how many objects did. What failed stays, for `dubline requeue` reads it again."""
        moved = sum(self._finish(found.key) for found in self._storage.list(keys.MOVES))
        done = [*self._done_pairs(pairs, places), *self._done_tables(tables, batches)]
        needed = self._needed({self._folder.address(part.key) for each in done for part in each.parts})
        for each in done:
            if not needed & {self._folder.address(part.key) for part in each.parts}:
                moved += self._move(each)
        return moved

    def _done_pairs(self, pairs: Mapping[str, Dropped], places: Mapping[str, Place]) -> Iterator[_Done]:
        """Asked are only those whose output lies there already: a thousand are listed in one call."""
        placed = {each: places[each] for each in pairs if each in places}
        shown = {
            found.key
            for batch in {place.batch for place in placed.values()}
            for found in self._storage.list(f"{keys.OUTPUTS}{batch}/")
        }
        likely = [
            each for each in placed if keys.output(placed[each].batch, pairs[each].name, ".json") in shown
        ]
        found = manifests(self._storage, (placed[each].job for each in likely))
        for each, manifest in zip(likely, found, strict=True):
            if manifest and manifest.status == "succeeded":
                yield _Done(each, placed[each].batch, pairs[each].parts)

    def _done_tables(self, tables: Mapping[str, Table], batches: Mapping[str, str]) -> Iterator[_Done]:
        for each, table in tables.items():
            body = self._storage.get(keys.summary(batches[each])) if each in batches else None
            if body is None:
                continue
            with of_this_version(f"the summary of batch {batches[each]}"):
                summary = Summary.model_validate_json(body)
            if summary.succeeded == summary.rows:
                # the CSV last: without it, its inputs would pass for pairs
                yield _Done(each, batches[each], (*table.inputs, table.csv))

    def _needed(self, addresses: set[str]) -> set[str]:
        """Those that some job of an open batch is still to read."""
        if not addresses:
            return set()
        listed = {each.key for each in self._storage.list(keys.BATCHES)}
        names = {key.removeprefix(keys.BATCHES).partition("/")[0] for key in listed}
        open_ = [
            each for each in sorted(names) if keys.rows(each) in listed and keys.summary(each) not in listed
        ]
        reading = (
            row for batch in open_ for row in batch_rows(self._storage, batch) if _inputs(row) & addresses
        )
        return self._unended(reading) & addresses

    def _unended(self, rows: Iterable[Row]) -> set[str]:
        jobs = {row.job.id: _inputs(row) for row in rows}
        found = zip(jobs, manifests(self._storage, jobs), strict=True)
        return {address for job, manifest in found if manifest is None for address in jobs[job]}

    def _move(self, done: _Done) -> int:
        parts = tuple(
            Part(
                source=self._folder.address(each.key),
                target=self._folder.address(self._target(done.batch, each.key)),
                etag=each.etag,
            )
            for each in done.parts
        )
        self._storage.put_if_absent(keys.move(done.id), Move(parts=parts).model_dump_json().encode())
        return self._finish(keys.move(done.id))

    def _target(self, batch: str, key: str) -> str:
        """Under the batch's name: what was dropped twice under one name lies there twice."""
        return self._folder.beside(ARCHIVE, batch, key.removeprefix(self._folder.prefix))

    def _finish(self, key: str) -> int:
        body = self._storage.get(key)
        if body is None:  # another watcher has
            return 0
        with of_this_version(f"{key}"):
            move = Move.model_validate_json(body)
        moved = sum(self._move_part(each) for each in move.parts)
        self._storage.delete(key)
        return moved

    def _move_part(self, part: Part) -> bool:
        """Whether it was there; a newer version of it stays where it is."""
        try:
            self._storage.copy(part.source, part.target, etag=part.etag)
        except (InputNotFound, InputChanged):
            return False
        return self._storage.delete_if_same(part.source, part.etag)


def _inputs(row: Row) -> set[str]:
    return {row.job.video.uri, row.job.audio.uri}
