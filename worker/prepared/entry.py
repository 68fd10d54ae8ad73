"""One source's prepared frames, as one job sees them: what was kept, and what the job adds."""

import hashlib
import json
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from contract import keys
from contract.errors import DublineError, InputNotFound
from contract.job import PIPELINE_VERSION, JobOptions
from contract.storage import Storage
from worker.prepared.chunk import Arrays, Chunk, ChunkDamaged, Span, cover, write_chunk

logger = logging.getLogger(__name__)

CHUNK_FRAMES = 256
CHUNK_BYTES = 64 * 2**20
"""A chunk is closed when it reaches either: what is not yet written is in memory."""


def entry_key(video_sha256: str, options: JobOptions, depends_on: Mapping[str, str]) -> str:
    """SHA-256 of all that prepared frames depend on: the source, its part, whose face, and what the engine says."""
    request = {
        "video": video_sha256,
        "start": options.start,
        "end": options.end,
        "face": options.face,
        "pipeline": PIPELINE_VERSION,
        "engine": dict(depends_on),
    }
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


class Entry:
    """A prefix of one source's frames. Use it from one thread at a time.

    `reach` frames are known, from 0 on; `before` of them were known before this job. `end` is the number of
    frames the source has, where anybody has got there.
    """

    def __init__(
        self,
        place: Path,
        key: str,
        make_room: Callable[[int], bool],
        storage: Storage | None = None,
        touch: Callable[[], None] = lambda: None,
    ) -> None:
        self._place, self._key, self._make_room = place, key, make_room
        self._storage, self._touch = storage, touch
        self._spans: list[Span] = []
        self._open: Chunk | None = None
        self._first, self._waiting = 0, list[Arrays | None]()  # the chunk that grows, and where it begins
        self._broken = False
        self.before = 0
        self.end: int | None = None
        self.written: Callable[[Span], None] = lambda _: None
        """Told of every chunk that lies on the disk now."""

    @property
    def reach(self) -> int:
        """The first source frame that is not known."""
        return self._first + len(self._waiting)

    def covers(self, frames: int) -> bool:
        """Whether the source frames 0 .. frames-1 are known, or all that there are."""
        return self.reach >= frames or (self.end is not None and self.reach >= self.end)

    def __contains__(self, source_index: int) -> bool:
        return source_index < self.reach

    def frame(self, source_index: int) -> Arrays | None:
        """What is prepared of a known frame, None where it has no face."""
        if source_index >= self._first:
            return self._waiting[source_index - self._first]
        if self._open is None or not self._open.span.first <= source_index < self._open.span.end:
            span = next(each for each in self._spans if each.first <= source_index < each.end)
            self._open = Chunk(self._place / span.name, self._key, span)
        return self._open.frame(source_index)

    def add(self, source_index: int, arrays: Arrays | None) -> None:
        """Take the next frame; any other is known already, or comes after one that could not be kept."""
        if self._broken or source_index != self.reach:
            return
        self._waiting.append(arrays)
        if len(self._waiting) >= CHUNK_FRAMES or _bytes(self._waiting) >= CHUNK_BYTES:
            self._write(Span(self._first, len(self._waiting)))

    def finish(self, source_frames: int | None) -> None:
        """Write what waits; `source_frames` is the source's length, where the job got to its end."""
        if self._waiting:
            self._write(Span(self._first, len(self._waiting)))
        if source_frames == self.reach and self.end is None and not self._broken:
            self._write(Span(self.reach, 0))
            self.end = source_frames

    def _write(self, span: Span) -> None:
        """The waiting frames as a chunk that appears whole; from a failure on nothing more is kept."""
        try:
            if not self._make_room(_bytes(self._waiting)):
                raise OSError("DUBLINE_PREPARED_BYTES is too small for this source")
            with _appearing(self._place / span.name) as made:
                write_chunk(made, self._key, span, self._waiting)
        except OSError as error:
            logger.warning("prepared frames are not kept from frame %d on: %s", span.first, error)
            self._broken = True
        else:
            self._spans.append(span)
            self._first = span.end
            self.written(span)
        self._waiting = []

    def gather(self, wanted: int) -> None:
        """Take stock of what is known of the frames 0 .. wanted-1, and bring what only the bucket has."""
        here = {span: 0 for each in self._place.iterdir() if (span := Span.of(each.name))}
        known, listed = here, False
        while True:
            chosen = cover(known, wanted)
            if not listed and not _reaches(chosen, wanted):
                known, listed = self._listed() | known, True
                continue
            unusable = next((span for span in chosen if not self._usable(span, known[span])), None)
            if unusable is None:
                break
            del known[unusable]
        self._spans = [span for span in chosen if span.count]
        self.before = self._first = max((span.end for span in chosen), default=0)
        self.end = next((span.first for span in chosen if not span.count), None)

    def upload(self, span: Span) -> None:
        """Put a chunk into the bucket; whoever else does puts the same bytes."""
        if self._storage is None:
            return
        path = self._place / span.name
        try:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            self._storage.upload(path, self._object(span), sha256, advance=lambda _: self._touch())
        except (DublineError, OSError) as error:
            self._leave_the_bucket(error)

    def _usable(self, span: Span, size: int) -> bool:
        """Whether the chunk is here whole, or can be brought; `size` is its object's, 0 where none is known of."""
        path = self._place / span.name
        if path.exists():
            if self._is_whole(path, span):
                return True
            path.unlink(missing_ok=True)
        return self._brought(path, span, size)

    def _is_whole(self, path: Path, span: Span) -> bool:
        try:
            Chunk(path, self._key, span).verify()
        except ChunkDamaged as error:
            logger.warning("prepared frames are made anew: %s", error)
            return False
        self._touch()
        return True

    def _brought(self, path: Path, span: Span, size: int) -> bool:
        """Whether the bucket had it whole."""
        if self._storage is None or not self._make_room(size):
            return False
        try:
            with _appearing(path) as made:
                self._storage.download(self._object(span), made, advance=lambda _: self._touch())
        except InputNotFound:  # it was never there
            return False
        except DublineError as error:
            self._leave_the_bucket(error)
            return False
        return self._is_whole(path, span)

    def _listed(self) -> dict[Span, int]:
        """The chunks in the bucket, and their sizes in bytes."""
        if self._storage is None:
            return {}
        prefix = keys.prepared(self._key)
        try:
            objects = [
                (Span.of(each.key.removeprefix(prefix)), each.bytes) for each in self._storage.list(prefix)
            ]
        except DublineError as error:
            self._leave_the_bucket(error)
            return {}
        return {span: size for span, size in objects if span}

    def _leave_the_bucket(self, error: Exception) -> None:
        logger.warning("prepared frames are shared with no other machine: %s", error)
        self._storage = None

    def _object(self, span: Span) -> str:
        return keys.prepared(self._key, span.name)


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """A file to write that gets its name when it is whole."""
    made = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield made
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)


def _reaches(chosen: list[Span], wanted: int) -> bool:
    return bool(chosen) and (chosen[-1].end >= wanted or chosen[-1].count == 0)


def _bytes(frames: list[Arrays | None]) -> int:
    return sum(array.nbytes for arrays in frames for array in (arrays or {}).values())
