"""The results of a batch on this machine: videos, manifests and curves, named by row."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from contract.errors import ConfigurationError, InputChanged, InputNotFound, ResourceExhausted
from contract.job import Row
from contract.manifest import Curves, Manifest
from contract.storage import Storage
from producer.batches import batch_rows, manifests, of_this_version, windows
from producer.gallery.page import Entry

THREADS = 8


class Stored(Protocol):
    """A file in the store, and what it must be."""

    @property
    def key(self) -> str:
        """Where it lies."""

    @property
    def bytes(self) -> int:
        """How long it is."""

    @property
    def sha256(self) -> str:
        """Of the whole content, 64 hexadecimal digits."""


@dataclass(frozen=True)
class Result:
    """What was brought here of one row."""

    row: str
    status: Literal["succeeded", "failed", "cancelled"] | None
    """None: the row has not ended."""
    video: Path | None = None
    problem: str | None = None
    """Why there is no video, with the code of the error."""
    lost: bool = False
    """A video was made, and the store does not have it, or not these bytes, any more."""
    manifest: Manifest | None = None
    curves: Curves | None = None

    def light(self) -> Self:
        """Without what only a page shows, so that a large batch fits into memory."""
        return replace(self, manifest=None, curves=None)

    def record(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "row": self.row,
            "status": self.status,
            "video": str(self.video) if self.video else None,
            "problem": self.problem,
            "lost": self.lost,
        }


def fetch_results(storage: Storage, batch: str, folder: Path) -> Iterator[Result]:
    """Bring `<row>.mp4`, `<row>.manifest.json` and `<row>.curves.json` of every row that has ended into the folder.

    Videos that are here already, with the SHA-256 of their manifest, are not fetched again.

    Raises:
        NotFound: there is no such batch.
        ConfigurationError: the folder cannot be written.
        ResourceExhausted: the disk is full.
    """
    make_folder(folder)
    with ThreadPoolExecutor(THREADS) as pool:
        for rows in windows(batch_rows(storage, batch)):
            found = manifests(storage, [row.job.id for row in rows])
            yield from pool.map(lambda row, manifest: _fetch(storage, row, manifest, folder), rows, found)


def make_folder(folder: Path) -> None:
    """Make a folder for results, unless it is there.

    Raises:
        ConfigurationError: it cannot be made, or not be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be made: {error.strerror}; choose another folder"
        ) from error
    if not os.access(folder, os.W_OK):
        raise ConfigurationError(f"{folder} may not be written by this user; choose another folder")


def _fetch(storage: Storage, row: Row, manifest: Manifest | None, folder: Path) -> Result:
    if manifest is None:
        return Result(row.id, None)
    _write(folder / f"{row.id}.manifest.json", manifest.model_dump_json(indent=2).encode())
    problem = f"[{manifest.error.code}] {manifest.error.message}" if manifest.error else None
    result = Result(row.id, manifest.status, problem=problem, manifest=manifest)
    try:
        video = _fetch_video(storage, manifest, folder / f"{row.id}.mp4")
    except InputNotFound as error:
        return replace(result, problem=f"[{error.code}] {error.message}", lost=True)
    except InputChanged:
        return replace(result, problem="the store has other bytes than the manifest tells of", lost=True)
    curves = _fetch_curves(storage, manifest, folder / f"{row.id}.curves.json")
    return replace(result, video=video, curves=curves)


def _fetch_video(storage: Storage, manifest: Manifest, path: Path) -> Path | None:
    if manifest.output is None:
        return None
    bring(storage, manifest.output, path)
    return path


def bring(
    storage: Storage, stored: Stored, path: Path, *, advance: Callable[[int], None] = lambda _: None
) -> None:
    """Have a file of a batch here, whole and checked; what is here already is not fetched again.

    `advance` is told of bytes that are here.

    Raises:
        InputNotFound: the store does not have it.
        InputChanged: the store has other bytes.
        DiskFull: the disk is.
    """
    if _is_here(path, stored.bytes, stored.sha256):
        advance(stored.bytes)
        return
    part = path.with_name(f"{path.name}.part")
    storage.download(stored.key, part, sha256=stored.sha256, advance=advance)
    part.replace(path)


def _is_here(path: Path, size: int, sha256: str) -> bool:
    if not path.is_file() or path.stat().st_size != size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _fetch_curves(storage: Storage, manifest: Manifest, path: Path) -> Curves | None:
    key = manifest.sync_check.curves_key if manifest.sync_check else None
    body = storage.get(key) if key else None
    if body is None:
        return None
    _write(path, body)
    with of_this_version(f"the object {key}"):
        return Curves.model_validate_json(body)


def _write(path: Path, body: bytes) -> None:
    try:
        path.write_bytes(body)
    except OSError as error:
        raise ResourceExhausted(f"{path} cannot be written: {error.strerror}; free the disk") from error


def entries(results: Iterable[Result], sources: Mapping[str, Path] | None = None) -> list[Entry]:
    """The rows that have ended, for the page; `sources` by row, where they lie on this machine."""
    known = sources or {}
    return [
        Entry(each.row, each.manifest, known.get(each.row), each.video, each.curves)
        for each in results
        if each.manifest
    ]
