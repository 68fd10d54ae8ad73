"""`<weights folder>/weights.lock.json`: which files lie in the folder, from where, and that they were read and right.

The registry says what a file must be; the lock says that this very file (its size, time and inode) was hashed and was
that. So a start need not read 3.4 GB again. The lock is memory, not truth: without it, or where it cannot be read or
written, files are hashed.
"""

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from contract.job import Boundary, Sha256
from worker.weights.registry import Weight

NAME = "weights.lock.json"

SETTLED_SECONDS = 2.0
"""How old a file must be to be remembered: one written twice within a tick of the clock would look the same."""


class Seen(Boundary):
    """One file that was hashed."""

    source: str
    sha256: Sha256
    size: int
    mtime_ns: int
    inode: int


class Lock(Boundary):
    """The lock file, by the names of the weights."""

    schema_version: Literal[1] = 1
    files: dict[str, Seen]


def remembers(wanted: Weight, folder: Path) -> bool:
    """Whether the very file at the weight's place was hashed before and was what the registry says today."""
    with contextlib.suppress(OSError):
        return _read(folder).files.get(wanted.name) == _seen(wanted, wanted.place(folder).stat())
    return False


def remember(wanted: Weight, folder: Path, hashed: os.stat_result) -> None:
    """Notes that the file of that stat was hashed and is right. A folder that cannot be written keeps no lock."""
    if time.time() - hashed.st_mtime < SETTLED_SECONDS:
        return
    with contextlib.suppress(OSError), _alone(folder):
        known = _read(folder).files
        _write(Lock(files={**known, wanted.name: _seen(wanted, hashed)}), folder)


def _seen(wanted: Weight, stat: os.stat_result) -> Seen:
    return Seen(
        source=str(wanted.source),
        sha256=wanted.sha256,
        size=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        inode=stat.st_ino,
    )


def _read(folder: Path) -> Lock:
    try:
        return Lock.model_validate_json((folder.expanduser() / NAME).read_bytes())
    except (FileNotFoundError, ValidationError):
        return Lock(files={})


def _write(lock: Lock, folder: Path) -> None:
    place = folder.expanduser() / NAME
    with tempfile.TemporaryDirectory(prefix=".", dir=place.parent) as scratch:
        whole = Path(scratch) / NAME
        whole.write_text(lock.model_dump_json(indent=1) + "\n")
        whole.replace(place)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time in here; the folder itself is what they queue for."""
    descriptor = os.open(folder.expanduser(), os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
