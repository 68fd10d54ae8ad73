"""One file of prepared frames: safetensors, with a digest of its content."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from contract.errors import ResourceExhausted

Arrays = Mapping[str, NDArray[Any]]
"""One prepared frame as the engine packs it."""

_FORMAT = "dubline-prepared-1"
_FACES = "faces"
_NAME = re.compile(r"(\d{6,})-(\d{3,})\.safetensors")


class ChunkDamaged(ResourceExhausted):
    """The file is not what its name says; another attempt makes it anew."""


@dataclass(frozen=True, order=True)
class Span:
    """Source frames first .. first + count - 1. A span of no frames says that the source ends there."""

    first: int
    count: int

    @property
    def end(self) -> int:
        """The first source frame after it."""
        return self.first + self.count

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.first:06}-{self.count:03}.safetensors"

    @classmethod
    def of(cls, name: str) -> Self | None:
        """The span of a file of that name, None for a name of something else."""
        found = _NAME.fullmatch(name)
        return cls(int(found[1]), int(found[2])) if found else None


def cover(spans: Iterable[Span], wanted: int) -> list[Span]:
    """The fewest of the spans that reach from frame 0 to `wanted`, or as far as they go; an end mark where there is one."""
    rest, chosen, reach = set(spans), list[Span](), 0
    while reach < wanted:
        fitting = [each for each in rest if each.first <= reach < each.end]
        if not fitting:
            break
        chosen.append(max(fitting, key=lambda each: (each.end, -each.first)))
        reach = chosen[-1].end
    mark = Span(reach, 0)
    return [*chosen, mark] if reach and mark in rest else chosen


def write_chunk(path: Path, key: str, span: Span, frames: Sequence[Arrays | None]) -> None:
    """Write the span's frames, None for those without a face. The same frames give the same bytes.

    Raises:
        OSError: the disk is full, or the like.
    """
    tensors = {_FACES: np.array([each is not None for each in frames], np.uint8)}
    for index, arrays in enumerate(frames):
        for name, array in (arrays or {}).items():
            tensors[f"{index}.{name}"] = np.asarray(array, order="C")
    digest = _digest((name, tensors[name]) for name in sorted(tensors))
    # all in one, for safetensors writes several in any order
    about = {_FORMAT: json.dumps({"key": key, "span": span.name, "sha256": digest})}
    try:
        save_file(tensors, path, metadata=about)
    except SafetensorError as error:  # its own name for what the disk says
        raise OSError(str(error)) from error


class Chunk:
    """A written chunk, open for reading. Arrays are read when they are asked for.

    Raises:
        ChunkDamaged: the file is not whole, or another's.
    """

    def __init__(self, path: Path, key: str, span: Span) -> None:
        self.span = span
        self._path = path
        try:
            self._file = cast(Any, safe_open(path, framework="numpy"))  # its stub has no types
            about = dict(json.loads((self._file.metadata() or {}).get(_FORMAT, "{}")))
            self._names = sorted(self._file.keys())
            self._faces = self._file.get_tensor(_FACES)
        except (OSError, ValueError, TypeError, SafetensorError) as error:
            raise ChunkDamaged(f"{path} cannot be read: {error}") from error
        if (about.get("key"), about.get("span"), self._faces.shape) != (key, span.name, (span.count,)):
            raise ChunkDamaged(f"{path} holds something else")
        self._sha256 = about.get("sha256")

    def verify(self) -> None:
        """Hash all of it.

        Raises:
            ChunkDamaged: it is not what was written.
        """
        try:
            found = _digest((name, self._file.get_tensor(name)) for name in self._names)
        except (OSError, SafetensorError) as error:
            raise ChunkDamaged(f"{self._path} cannot be read: {error}") from error
        if found != self._sha256:
            raise ChunkDamaged(f"{self._path} is damaged")

    def frame(self, source_index: int) -> Arrays | None:
        """What is prepared of one of its source frames, None where it has no face."""
        index = source_index - self.span.first
        return dict(self._arrays(index)) if self._faces[index] else None

    def _arrays(self, index: int) -> Iterator[tuple[str, NDArray[Any]]]:
        prefix = f"{index}."
        for name in self._names:
            if name.startswith(prefix):
                yield name.removeprefix(prefix), self._file.get_tensor(name)


def _digest(tensors: Iterable[tuple[str, NDArray[Any]]]) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order given."""
    digest = hashlib.sha256()
    for name, array in tensors:
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
