"""A job's finished segments in the bucket, each naming the one before it."""

import hashlib
import json
import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from contract import keys
from contract.errors import Cancelled, ConfigurationError, InputRejected, LeaseLost, TemporaryFailure
from contract.storage import Storage
from worker.overlap import WriteBehind
from worker.segments.segment import Segment, SegmentDamaged, layout, read_segment, write_segment

logger = logging.getLogger(__name__)

UPLOADS = 64
"""Segments that may wait for their upload; they lie on the disk meanwhile."""
FAILURES = (ConfigurationError, InputRejected, TemporaryFailure, OSError)
"""Of the store and of the disk: segments only save work."""
_NAME = re.compile(r"(\d{8})-([0-9a-f]{64})\.safetensors")


def installed(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those that are installed, whether or not this process has used them so far."""
    versions = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


class Segments:
    """Where one job's segments are: in the bucket, and on their way through a folder of this attempt.

    `made_with` is what must be equal for one attempt to go on from another's. `touch` is told of every step of a
    transfer.
    """

    def __init__(
        self,
        storage: Storage,
        job_id: str,
        folder: Path,
        made_with: Mapping[str, Any],
        touch: Callable[[], None] = lambda: None,
    ) -> None:
        self._storage, self._job_id, self._folder = storage, job_id, folder
        self._made_with, self._touch = made_with, touch

    @contextmanager
    def chain(self, made_with: Mapping[str, Any]) -> Iterator["Chain"]:
        """The segments of attempts that had the same of everything, this argument included.

        What is kept is in the bucket at the end of the block, also where it is interrupted; but not where the job
        is another's, or nobody's any more.
        """
        request = json.dumps({"layout": layout(), **self._made_with, **made_with}, sort_keys=True)
        chain = Chain(
            self._storage,
            self._job_id,
            hashlib.sha256(request.encode()).hexdigest(),
            self._folder,
            self._touch,
        )
        interruption: BaseException | None = None
        with WriteBehind(chain.upload, UPLOADS) as behind:
            chain.written = behind.put
            try:
                yield chain
            except (LeaseLost, Cancelled, InputRejected):
                raise
            except BaseException as error:  # noqa: BLE001 - raised again, after the uploads
                interruption = error
        if interruption:
            raise interruption


class Chain:
    """One row of segments from frame 0 on. Use it from one thread at a time; `upload` may have its own."""

    def __init__(
        self, storage: Storage, job_id: str, made_with: str, folder: Path, touch: Callable[[], None]
    ) -> None:
        self._storage, self._folder, self._touch = storage, folder, touch
        self._made_with = made_with
        self._prefix = keys.segments(job_id, f"{made_with[:16]}/")
        self._last = ""  # the SHA-256 of the segment that was read or kept last
        self._broken = False
        self.written: Callable[[Path], None] = lambda _: None
        """Told of every segment that lies on the disk now, under the name that it has in the bucket."""

    def finished(self, *, traced: bool) -> Iterator[Segment]:
        """The segments that earlier attempts finished, as far as they are whole; with a trace where that is asked for."""
        names = self._listed()
        reach = 0
        while segment := self._next(names[reach], reach, traced):
            yield segment
            reach = segment.end

    def keep(self, segment: Segment) -> None:
        """Take the next segment; from a failure on nothing more is kept."""
        if self._broken:
            return
        made = self._folder / f"segment-{segment.first:08}"
        try:
            write_segment(made, segment, self._link)
            with made.open("rb") as file:
                self._last = hashlib.file_digest(file, "sha256").hexdigest()
            path = made.replace(self._folder / f"{segment.first:08}-{self._last}.safetensors")
        except OSError as error:
            made.unlink(missing_ok=True)
            self._give_up(error)
        else:
            self.written(path)

    def upload(self, path: Path) -> None:
        """Put a segment into the bucket, and remove its file."""
        try:
            if not self._broken:
                found = _NAME.fullmatch(path.name)
                sha256 = found[2] if found else ""
                self._storage.upload(path, self._prefix + path.name, sha256, advance=self._advance)
        except FAILURES as error:
            self._give_up(error)
        finally:
            path.unlink(missing_ok=True)

    def _advance(self, _: int) -> None:
        with suppress(TemporaryFailure):  # a worker that is being stopped still hands over what is finished
            self._touch()

    @property
    def _link(self) -> dict[str, str]:
        return {"made_with": self._made_with, "after": self._last}

    def _listed(self) -> defaultdict[int, list[str]]:
        """The names in the bucket, by the first frame."""
        names: defaultdict[int, list[str]] = defaultdict(list)
        try:
            for each in self._storage.list(self._prefix):
                name = each.key.removeprefix(self._prefix)
                if found := _NAME.fullmatch(name):
                    names[int(found[1])].append(name)
        except FAILURES as error:
            logger.warning("the job begins anew, its segments cannot be listed: %s", error)
        return names

    def _next(self, names: list[str], first: int, traced: bool) -> Segment | None:
        """The segment that begins there and follows the last one; of several that do, the first by name."""
        for name in names:
            try:
                segment = self._fetched(name)
            except FAILURES as error:
                logger.warning("a segment is left out: %s", error)
                continue
            if segment.first == first and (segment.trace or not traced):
                self._last = name.split("-")[1].removesuffix(".safetensors")
                return segment
        return None

    def _fetched(self, name: str) -> Segment:
        path = self._folder / name
        try:
            got = self._storage.download(self._prefix + name, path, advance=lambda _: self._touch())
            if got.sha256 not in name:
                raise SegmentDamaged(f"{name} is not what was uploaded")
            return read_segment(path, self._link)
        finally:
            path.unlink(missing_ok=True)

    def _give_up(self, error: Exception) -> None:
        if not self._broken:
            logger.warning("an interruption would cost more than a minute of work from here on: %s", error)
        self._broken = True
