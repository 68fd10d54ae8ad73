"""The folder of prepared frames on this machine: bounded, shared by its processes, least recently used goes first."""

import fcntl
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from contract.settings import Settings
from contract.storage import Storage
from worker.overlap import WriteBehind
from worker.prepared.entry import Entry

logger = logging.getLogger(__name__)

UPLOADS = 64
"""Chunks that may wait for their upload; they lie on the disk meanwhile."""


class Shelf:
    """All prepared frames that this machine keeps, at most `max_bytes` of them; `storage` None keeps them here alone."""

    def __init__(self, folder: Path, max_bytes: int, storage: Storage | None = None) -> None:
        self._folder = folder.expanduser()
        self._max_bytes = max_bytes
        self._storage = storage

    @classmethod
    def of(cls, settings: Settings, storage: Storage | None) -> "Shelf | None":
        """The one that the settings ask for, None where they ask to keep nothing."""
        if settings.prepared_bytes == 0:
            return None
        return cls(settings.prepared, settings.prepared_bytes, storage)

    @contextmanager
    def entry(self, key: str, wanted: int, touch: Callable[[], None]) -> Iterator[Entry | None]:
        """What is kept under a key of the source frames 0 .. wanted-1; None where nothing can be kept.

        For the length of the block no process of this machine removes it. What the job adds is in the bucket at
        the end of the block, unless that raises. `touch` is told of every step of a transfer.
        """
        place = self._folder / key
        with ExitStack() as stack:
            try:
                stack.callback(os.close, occupy(place))
                entry = Entry(place, key, self._make_room, self._storage, touch)
                entry.gather(wanted)
            except OSError as error:
                logger.warning("no prepared frames are kept: %s: %s", place, error.strerror)
                yield None
                return
            entry.written = stack.enter_context(WriteBehind(entry.upload, UPLOADS)).put
            yield entry

    def _make_room(self, wanted: int) -> bool:
        """Remove what nobody uses, least recently used first, until that many bytes fit; False where they do not."""
        entries = sorted(_places(self._folder), key=_last_used)
        total = sum(map(_size, entries))
        for place in entries:
            if total + wanted <= self._max_bytes:
                break
            size = _size(place)
            if _remove_unless_occupied(place):
                total -= size
        return total + wanted <= self._max_bytes


def occupy(place: Path) -> int:
    """Make the folder where it is missing, and hold it until the descriptor is closed or this process is gone.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        place.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another process was about to remove it: make it again
            lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_SH)
            with suppress(FileNotFoundError):
                if place.stat().st_ino == os.fstat(lock).st_ino:
                    os.utime(place)
                    return lock
            os.close(lock)


def _remove_unless_occupied(place: Path) -> bool:
    try:
        lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # another process was faster
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(place)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


def _places(folder: Path) -> list[Path]:
    try:
        return [each for each in folder.iterdir() if each.is_dir() and not each.is_symlink()]
    except FileNotFoundError:
        return []


def _last_used(place: Path) -> float:
    with suppress(OSError):
        return place.stat().st_mtime
    return 0.0


def _size(place: Path) -> int:
    total = 0
    with suppress(OSError):  # going away just now
        for each in place.iterdir():
            with suppress(OSError):
                total += each.stat().st_size
    return total
