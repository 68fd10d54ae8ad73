"""Weight files as they are published, made ready once: safetensors in the precision that the device computes in.

A `.pth` or `.bin` is a pickle of float32 tensors: slow to read, and twice what a GPU needs. It becomes
`<name>.<precision>.safetensors` beside the original, tensor by tensor, written whole or not at all. What a file
holds is told by its first bytes, never by its name, and every tensor is compared with the architecture.
"""

import errno
import fcntl
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251 - its name alone: torch raises it where it refuses a pickle
from typing import IO, Any

import torch
from safetensors import SafetensorError, safe_open

from contract.errors import ConfigurationError
from worker.engines.musetalk.architecture import Architecture, Shapes
from worker.engines.musetalk.failures import first_line, is_out_of_memory

logger = logging.getLogger(__name__)

PRECISIONS: Mapping[torch.dtype, str] = {torch.float16: "fp16", torch.float32: "fp32"}
_FORMAT_NAMES: Mapping[torch.dtype, str] = {torch.float16: "F16", torch.float32: "F32"}
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class Checkpoint:
    """An opened weight file: its tensors by their names in the network, each read when it is asked for."""

    path: Path
    architecture: Architecture
    """What the file holds: the one that was asked for, or the one in the file's metadata."""
    metadata: Mapping[str, str]
    stored: frozenset[torch.dtype]
    """The precisions of its tensors."""
    is_pickle: bool
    shapes: Shapes
    tensor: Callable[[str], torch.Tensor]
    """By the network's name for it: on the CPU, and of a safetensors file no more than a view of the disk."""

    @classmethod
    def open(cls, path: Path, architecture: Architecture) -> "Checkpoint":
        """The file, once each of its tensors has the name and the shape that the network wants.

        Raises:
            ConfigurationError: no such file, no weight file, a damaged one, or that of another network.
        """
        source = _read(path)
        try:
            architecture = architecture.of(source.metadata.get("config"))
            shapes = architecture.shapes()
        except ConfigurationError as error:
            raise _fault(path, error.message) from error
        names = _names(architecture, source.shapes)
        found = {name: source.shapes[original] for name, original in names.items()}
        if found != shapes:
            raise _fault(
                path, f"this is not {architecture.title}: {_difference(found, shapes, source.shapes)}"
            )
        return cls(
            path=path,
            architecture=architecture,
            metadata=source.metadata,
            stored=frozenset(source.dtypes[original] for original in names.values()),
            is_pickle=source.is_pickle,
            shapes=shapes,
            tensor=lambda name: source.tensor(names[name]),
        )


def ready(path: Path, architecture: Architecture, dtype: torch.dtype) -> Checkpoint:
    """The file in that precision as safetensors: itself if it is that already, else the copy beside it.

    The copy is made by the first process that needs it, while the others wait, and again if the original is
    replaced. Where the folder cannot be written (weights baked into an image), the original is read as it is.

    Raises:
        ConfigurationError: the file is not what it should be, or there is no room for the copy.
    """
    copy = path.with_name(f"{path.name}.{PRECISIONS[dtype]}.safetensors")
    if usable := _usable(copy, path, architecture):
        return usable
    # The original is let go before the copy is opened: both are counted as memory where that is counted strictly.
    return _unconverted(path, architecture, copy, dtype) or Checkpoint.open(copy, architecture)


def _unconverted(path: Path, architecture: Architecture, copy: Path, dtype: torch.dtype) -> Checkpoint | None:
    """The original where it is to be used as it is; else None, and the copy is there."""
    original = Checkpoint.open(path, architecture)
    if original.stored == {dtype} and not original.is_pickle:
        return original
    try:
        _convert(original, copy, dtype)
    except OSError as error:
        if error.errno in _UNWRITABLE:
            logger.warning("%s is read as it is, slowly: its folder cannot be written", path)
            return original
        raise _no_room(original, copy, dtype, error) from error
    return None


def write(
    target: IO[bytes],
    shapes: Shapes,
    dtype: torch.dtype,
    tensor: Callable[[str], torch.Tensor],
    metadata: Mapping[str, str],
) -> None:
    """Write a safetensors file, one tensor in memory at a time.

    Raises:
        ConfigurationError: a tensor holds what is no number in that precision.
    """
    target.write(_header(shapes, dtype, metadata))
    for name in shapes:
        values = tensor(name).to(dtype).contiguous()
        if not torch.stack(values.aminmax()).isfinite().all():  # both are nan where any value is
            raise ConfigurationError(f"tensor {name} holds values that are no numbers in {PRECISIONS[dtype]}")
        target.write(values.numpy().data)


def _header(shapes: Shapes, dtype: torch.dtype, metadata: Mapping[str, str]) -> bytes:
    """The format is the safetensors project's: length (8 bytes, little endian), JSON, then the tensors."""
    entries: dict[str, Any] = {"__metadata__": dict(metadata)}
    start = 0
    for name, shape in shapes.items():
        end = start + _count(shape) * dtype.itemsize
        entries[name] = {"dtype": _FORMAT_NAMES[dtype], "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _count(shape: Sequence[int]) -> int:
    return int(torch.Size(shape).numel())


def size(shapes: Shapes, dtype: torch.dtype) -> int:
    """Bytes of all tensors in that precision."""
    return sum(_count(shape) for shape in shapes.values()) * dtype.itemsize


# --- the copy ---


def _usable(copy: Path, path: Path, architecture: Architecture) -> Checkpoint | None:
    """The copy, if it is one of the file as it is now."""
    if not copy.exists() or not path.exists():
        return None
    try:
        found = Checkpoint.open(copy, architecture)
    except ConfigurationError as error:
        logger.warning("the converted weights are made again: %s", error)
        return None
    return found if found.metadata.get("original") == _fingerprint(path) else None


def _fingerprint(path: Path) -> str:
    """What changes when the original is replaced. Its SHA-256 was checked when it was fetched."""
    status = path.stat()
    return f"{status.st_size} bytes, {status.st_mtime_ns} ns"


def _convert(original: Checkpoint, copy: Path, dtype: torch.dtype) -> None:
    with _alone(copy.with_name(copy.name + ".part")) as part:
        if _usable(copy, original.path, original.architecture):  # another process was faster
            return
        logger.info("converting %s once to %s", original.path, copy.name)
        metadata = {
            "config": json.dumps(original.architecture.config),
            "original": _fingerprint(original.path),
        }
        try:
            write(part, original.shapes, dtype, original.tensor, metadata)
        except ConfigurationError as error:
            raise _fault(original.path, error.message) from error
        part.flush()
        os.fsync(part.fileno())
        Path(part.name).replace(copy)


@contextmanager
def _alone(path: Path) -> Iterator[IO[bytes]]:
    """The file, empty, and no other process in here: it ends under its final name, or not at all.

    Whoever waited may have got the lock of a file that has been renamed or removed since: it looks again. A
    killed process leaves the file, and its lock is gone; the next one starts over in it.
    """
    while True:
        with path.open("ab") as part:
            fcntl.flock(part, fcntl.LOCK_EX)
            if not _is_still(part, path):
                continue
            part.truncate(0)
            try:
                yield part
            finally:
                if _is_still(part, path):
                    path.unlink()
            return


def _is_still(part: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(part.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _no_room(original: Checkpoint, copy: Path, dtype: torch.dtype, error: OSError) -> ConfigurationError:
    needed = size(original.shapes, dtype) / 1e9
    fact = "the disk is full" if error.errno in _DISK_FULL else f"writing failed ({error.strerror})"
    return ConfigurationError(
        f"{copy.parent}: {fact} while {original.path.name} was converted; make room for {needed:.1f} GB "
        "or name another folder in DUBLINE_WEIGHTS"
    )


# --- reading ---


@dataclass(frozen=True)
class _Source:
    """A weight file as it is, under its own names."""

    shapes: Shapes
    dtypes: Mapping[str, torch.dtype]
    metadata: Mapping[str, str]
    is_pickle: bool
    tensor: Callable[[str], torch.Tensor]


def _read(path: Path) -> _Source:
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: no such weights; run `dubline models fetch`") from None
    except OSError as error:
        raise _fault(path, f"it cannot be read ({error.strerror})") from error
    if start[8:9] == b"{":
        return _read_safetensors(path)
    if start[:4] == b"PK\x03\x04" or start[:1] == b"\x80":
        return _read_pickle(path)
    raise _fault(path, f"this is no weight file: {_what_it_is(start)}")


def _what_it_is(start: bytes) -> str:
    if not start:
        return "it is empty"
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, a line about the file in place of the file"
    if start.lstrip()[:1] == b"<":
        return "it is a web page"
    return f"it begins with {start[:8]!r}"


_DTYPES: Mapping[str, torch.dtype] = {
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}


def _read_safetensors(path: Path) -> _Source:
    try:
        file: Any = safe_open(path, framework="pt")
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise _damaged(path, error) from error
    return _Source(
        shapes={name: tuple(each.get_shape()) for name, each in slices.items()},
        dtypes={name: _DTYPES.get(each.get_dtype(), torch.uint8) for name, each in slices.items()},
        metadata=file.metadata() or {},
        is_pickle=False,
        tensor=file.get_tensor,
    )


def _read_pickle(path: Path) -> _Source:
    tensors = _unpickled(path)
    if not isinstance(tensors, dict) or not all(isinstance(each, torch.Tensor) for each in tensors.values()):
        raise _fault(path, "it does not hold tensors by name")
    return _Source(
        shapes={name: tuple(each.shape) for name, each in tensors.items()},
        dtypes={name: each.dtype for name, each in tensors.items()},
        metadata={},
        is_pickle=True,
        tensor=tensors.__getitem__,
    )


def _unpickled(path: Path) -> Any:
    """What the pickle holds: tensors that lie on the disk until they are read. No code of the file runs."""
    with path.open("rb") as file:
        is_archive = (
            file.read(4) == b"PK\x03\x04"
        )  # torch before 1.6 wrote a bare pickle, which cannot be mapped
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)
    except UnpicklingError as error:
        fact = "the file is damaged, or holds code besides tensors, which is never run"
        raise _fault(path, f"{fact} ({first_line(error)})") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> Exception:
    if is_out_of_memory(error):
        return MemoryError(f"{path}: {error}")
    return _fault(path, f"the file is damaged ({first_line(error)})")


# --- names ---

_OLD_ATTENTION = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def _names(architecture: Architecture, shapes: Shapes) -> dict[str, str]:
    """The file's name of each tensor, by the network's name for it.

    VAE files from before diffusers 0.12 call the four layers of an attention otherwise. A Whisper file holds the
    decoder too, which nobody needs here.
    """
    if architecture.part == "vae":
        return {_modern(name): name for name in shapes}
    if architecture.part == "whisper":
        prefix = _encoder_prefix(shapes)
        return {name.removeprefix(prefix): name for name in shapes if name.startswith(prefix)}
    return {name: name for name in shapes}


def _modern(name: str) -> str:
    if ".attentions." in name:
        for old, new in _OLD_ATTENTION.items():
            name = name.replace(old, new)
    return name


def _encoder_prefix(shapes: Shapes) -> str:
    candidates = ("model.encoder.", "encoder.")
    return next((each for each in candidates if f"{each}embed_positions.weight" in shapes), "")


def _difference(found: Shapes, wanted: Shapes, raw: Shapes) -> str:
    """The first of each kind of difference, and what the file is if it is one of the other networks."""
    faults = []
    if missing := [name for name in wanted if name not in found]:
        faults.append(f"{len(missing)} tensors are missing (the first: {missing[0]})")
    if extra := [name for name in found if name not in wanted]:
        faults.append(f"{len(extra)} do not belong there (the first: {extra[0]})")
    others = [name for name in wanted if name in found and found[name] != wanted[name]]
    if others:
        name = others[0]
        faults.append(
            f"{len(others)} have other shapes (the first: {name} {found[name]}, not {wanted[name]})"
        )
    return "; ".join(faults) + _looks_like(raw)


def _looks_like(names: Shapes) -> str:
    marks = {
        "a UNet": "time_embedding.linear_1.weight",
        "a VAE": "decoder.conv_out.weight",
        "Whisper": "model.encoder.embed_positions.weight",
        "Whisper's encoder": "embed_positions.weight",
    }
    found = [title for title, mark in marks.items() if mark in names]
    return f"; the file looks like {found[0]}" if found else ""


def _fault(path: Path, fact: str) -> ConfigurationError:
    return ConfigurationError(f"{path}: {fact}; run `dubline models fetch` to get the right one")
