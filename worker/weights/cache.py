"""The folder of weights: what lies there, and whether it is right. Never touches the network.

A file lies at `<folder>/<revision>/<file>`. It is put there whole or not at all, and nothing is ever computed with a file
that was not hashed and found to be the registry's.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from contract.errors import ConfigurationError
from worker.weights import lock
from worker.weights.registry import Weight, named, readable, weight

State = Literal["present", "missing", "wrong"]


def state(wanted: Weight, folder: Path) -> State:
    """Whether the file is there and is the right one; reads all of it unless the lock remembers that very file."""
    return "present" if lock.remembers(wanted, folder) else read(wanted, folder)


def read(wanted: Weight, folder: Path) -> State:
    """Whether the file is there and is the right one; reads all of it."""
    try:
        with wanted.place(folder).open("rb") as stream:
            before = os.fstat(stream.fileno())
            right = (
                before.st_size == wanted.size
                and hashlib.file_digest(stream, "sha256").hexdigest() == wanted.sha256
            )
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except OSError as error:
        raise ConfigurationError(
            f"{wanted.place(folder)} cannot be read: {error.strerror}; "
            f"let this user read it, or set DUBLINE_WEIGHTS to a folder of this user"
        ) from error
    if right:
        lock.remember(wanted, folder, before)
    return "present" if right else "wrong"


def path(name: str, folder: Path) -> Path:
    """The right file of that name.

    Raises:
        ConfigurationError: it is missing, or is not what the registry says.
    """
    wanted = weight(name)
    _refuse(wanted, folder, state(wanted, folder))
    return wanted.place(folder)


def verify(names: Iterable[str], folder: Path) -> None:
    """Nothing, where every file is there and right; reads all of each, whatever the lock says.

    Raises:
        ConfigurationError: of the first that is not.
    """
    for name in names:
        _refuse(weight(name), folder, read(weight(name), folder))


def require(wanted: str, folder: Path) -> None:
    """Nothing, where all that every job of the engine, or the metric, of that name needs is there and right.

    Raises:
        ConfigurationError: it names all that is missing, and the command that brings it.
    """
    found = {name: state(weight(name), folder) for name in named(wanted)}
    lacking = [name for name, each in found.items() if each != "present"]
    if lacking:
        size = readable(sum(weight(name).size for name in lacking))
        wrong = [name for name in lacking if found[name] == "wrong"]
        raise ConfigurationError(
            f"{wanted} needs weights that are not in {folder.expanduser()}: {', '.join(lacking)} ({size})"
            + (f"; what lies there as {', '.join(wrong)} is another file" if wrong else "")
            + f"; run `dubline models fetch {wanted}`"
        )


def _refuse(wanted: Weight, folder: Path, found: State) -> None:
    place = wanted.place(folder)
    if found == "missing":
        raise ConfigurationError(
            f"weights {wanted.name} ({readable(wanted.size)}) are not at {place}; "
            f"run `dubline models fetch {wanted.name}`"
        )
    if found == "wrong":
        raise ConfigurationError(
            f"{place} is not the file of weights {wanted.name} (its SHA-256 differs); "
            f"`dubline models fetch {wanted.name}` replaces it"
        )
