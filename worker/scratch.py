"""The folder of an attempt, and those of attempts that were killed: each holds a lock on its own, which goes with it."""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from contract.errors import ConfigurationError

PREFIX = "dubline-job-"
PROBE_BYTES = 64 * 1024
YOUNG_SECONDS = 60.0
"""Younger folders are left alone: their attempt may be about to lock them."""


@contextmanager
def scratch_folder(parent: Path | None) -> Iterator[Path]:
    """A folder of this attempt alone, gone afterwards; under the system's temporary folder for None.

    Raises:
        ConfigurationError: it cannot be made, for this job or any other.
    """
    place = parent.expanduser() if parent else None
    try:
        place = place or Path(gettempdir())  # which writes something, to find out
        place.mkdir(parents=True, exist_ok=True)
        sweep(place)
        folder = TemporaryDirectory(prefix=PREFIX, dir=place)
    except OSError as error:
        raise ConfigurationError(
            f"there is no scratch folder in {place or 'any temporary folder'}: {error.strerror}; set DUBLINE_SCRATCH"
        ) from error
    with folder as name, held(Path(name)):
        yield Path(name)


def require(parent: Path | None) -> None:
    """Return if a file can be written there.

    Raises:
        ConfigurationError: the disk is full, or is not ours to write to.
    """
    with scratch_folder(parent) as folder:
        try:
            (folder / "first").write_bytes(bytes(PROBE_BYTES))
        except OSError as error:
            raise ConfigurationError(
                f"nothing can be written to {folder.parent}: {error.strerror}; free some space there, or set DUBLINE_SCRATCH"
            ) from error


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep `sweep` from the folder for the length of the block, or until this process is killed."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield
    finally:
        os.close(lock)


def sweep(place: Path) -> None:
    """Remove the folders there whose attempts are dead: each may hold gigabytes of inputs."""
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another's, or another worker was faster
            if not folder.is_symlink() and time.time() - folder.stat().st_mtime > YOUNG_SECONDS:
                _remove_unless_held(folder)


def _remove_unless_held(folder: Path) -> None:
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(lock)
