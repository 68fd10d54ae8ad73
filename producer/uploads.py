"""Local inputs go into the store under their content: the same bytes once, whatever names them."""

import hashlib
import mimetypes
import os
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from contract import keys
from contract.errors import InputChanged, StoreUnavailable
from contract.storage import CHUNK_BYTES, SINGLE_PUT_BYTES, Storage

THREADS = 8

Advance = Callable[[str, int], None]
"""Called with "hashed" or "uploaded" and the bytes that were just done; from several threads."""

_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")


@dataclass(frozen=True)
class LocalFile:
    """A local input by its content."""

    path: Path
    bytes: int
    modified_ns: int
    sha256: str

    @property
    def key(self) -> str:
        """Where it goes in our bucket."""
        suffix = self.path.suffix.lower()
        return keys.uploaded(self.sha256, suffix if _SUFFIX.fullmatch(suffix) else "")


def hash_files(paths: set[Path], advance: Advance) -> dict[Path, LocalFile]:
    """Each file by its content."""
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        return dict(zip(paths, pool.map(lambda path: _hash_file(path, advance), paths), strict=True))


def _hash_file(path: Path, advance: Advance) -> LocalFile:
    digest = hashlib.sha256()
    try:
        facts = path.stat()
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                advance("hashed", len(chunk))
    except OSError as error:
        raise InputChanged(f"{path} could be read a moment ago and cannot now: {error.strerror}") from error
    return LocalFile(path, facts.st_size, facts.st_mtime_ns, digest.hexdigest())


def upload(storage: Storage, files: Iterable[LocalFile], advance: Advance) -> list[LocalFile]:
    """Put those files that the store does not have, each content once; tells which."""
    by_key = {file.key: file for file in files}
    with ThreadPoolExecutor(THREADS) as pool:
        missing = pool.map(lambda file: _upload_file(storage, file, advance), by_key.values())
        return [file for file, was_missing in zip(by_key.values(), missing, strict=True) if was_missing]


def _upload_file(storage: Storage, file: LocalFile, advance: Advance) -> bool:
    missing = storage.stat(file.key) is None
    if missing:
        kind = mimetypes.guess_type(file.path.name)[0] or "application/octet-stream"
        try:
            storage.upload(file.path, file.key, file.sha256, kind)
        except (StoreUnavailable, FileNotFoundError) as error:
            # the store refuses bytes that are not those of the checksum
            if _changed(file):
                raise _changed_on_its_way(file) from error
            raise
        # of a file in parts the store checked each, and nobody whether they are of one version
        if file.bytes > SINGLE_PUT_BYTES and _changed(file):
            storage.delete(file.key)
            raise _changed_on_its_way(file)
    advance("uploaded", file.bytes)
    return missing


def _changed_on_its_way(file: LocalFile) -> InputChanged:
    return InputChanged(f"{file.path} changed while it was submitted; submit it again")


def _changed(file: LocalFile) -> bool:
    try:
        facts = file.path.stat()
    except OSError:
        return True
    return (facts.st_size, facts.st_mtime_ns) != (file.bytes, file.modified_ns)
