"""One large file by HTTP: goes on where an earlier attempt ended, in this process or in another.

The bytes gather in `.<name>.<sha>.part` beside the file's place. Whoever holds that file's lock may write it; the rename
at the end is what makes the file appear.
"""

import fcntl
import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from urllib.parse import urlsplit

from contract.errors import ConfigurationError
from worker.weights.lock import SETTLED_SECONDS
from worker.weights.registry import Weight, readable

ATTEMPTS = 4
"""How many in a row may bring nothing."""
WAIT_SECONDS = 1.0
"""After the first of them; twice as long after each further one."""
SILENT_SECONDS = 30.0
"""How long a connection may bring nothing."""
CHUNK_BYTES = 2**20

_TEMPORARY = {408, 429, 500, 502, 503, 504}


class Interrupted(Exception):
    """The connection failed or ended early: try again."""


@dataclass(frozen=True)
class Address:
    """Where a file's bytes are today. The headers go to that host alone, not to where it may redirect."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """What has come of a file so far; this process alone writes it."""

    place: Path
    """Where the whole file will lie."""
    path: Path
    stream: FileIO

    @property
    def size(self) -> int:
        return os.fstat(self.stream.fileno()).st_size

    def append(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        with keeping(self.place):
            while rest:  # a disk that fills up takes a part first, and then refuses
                rest = rest[self.stream.write(rest) :]

    def clear(self) -> None:
        with keeping(self.place):
            self.stream.truncate(0)

    def sha256(self) -> str:
        with keeping(self.place):
            self.stream.seek(0)
            return hashlib.file_digest(self.stream, "sha256").hexdigest()

    def finish(self) -> None:
        """The file appears at its place, by its time a little older than it is.

        So the lock takes it at once: whoever writes it from now on leaves another time.
        """
        then = time.time() - 2 * SETTLED_SECONDS
        with keeping(self.place):
            os.fsync(self.stream.fileno())
            os.utime(self.path, (then, then))
            self.path.replace(self.place)


@contextmanager
def keeping(place: Path) -> Iterator[None]:
    """What the disk refuses, as our error."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {place}: {error.strerror or error}; "
            f"make room there, or set DUBLINE_WEIGHTS to a folder of this user"
        ) from error


@contextmanager
def partial(wanted: Weight, place: Path) -> Iterator[Part]:
    """The file's part, once no other process holds it. An empty one is not left behind.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    path = place.with_name(f".{place.name}.{wanted.sha256[:8]}.part")
    with keeping(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        stream = _locked(path)
    with stream:
        part = Part(place, path, stream)
        try:
            yield part
        finally:
            if part.size == 0:
                path.unlink(missing_ok=True)


def _locked(path: Path) -> FileIO:
    """The file at that path, locked. Its last holder may have renamed or removed it meanwhile: then a new one."""
    while True:
        stream = path.open("a+b", buffering=0)
        fcntl.flock(stream, fcntl.LOCK_EX)
        try:
            if path.stat().st_ino == os.fstat(stream.fileno()).st_ino:
                return stream
        except FileNotFoundError:
            pass
        stream.close()


def complete(
    part: Part, wanted: Weight, locate: Callable[[], Address], meter: Callable[[Weight, int], None]
) -> None:
    """Brings what the part lacks, checks the whole, and puts it in its place.

    Raises:
        ConfigurationError: the network or the disk does not have it, or it is another file. What came of the right
            one is kept for the next time.
    """
    _check_room(part, wanted)
    failures, farthest = 0, part.size
    while part.size < wanted.size:
        try:
            _continue(part, wanted, locate(), meter)
        except Interrupted as error:
            failures = 0 if part.size > farthest else failures + 1
            farthest = max(farthest, part.size)
            if failures == ATTEMPTS:
                raise ConfigurationError(_given_up(part, wanted, error)) from error
            time.sleep(WAIT_SECONDS * 2 ** (failures - 1) if failures else 0)
    _check(part, wanted)
    part.finish()


def _continue(part: Part, wanted: Weight, address: Address, meter: Callable[[Weight, int], None]) -> None:
    """One connection's worth of bytes."""
    with _open(address, part) as response:
        if response.status != http.client.PARTIAL_CONTENT:
            part.clear()  # the server sends all of it
        meter(wanted, part.size)
        while part.size <= wanted.size and (chunk := _chunk(response)):
            part.append(chunk)
            meter(wanted, part.size)
    if part.size < wanted.size:
        raise Interrupted(f"the connection ended after {readable(part.size)}")


def _open(address: Address, part: Part) -> http.client.HTTPResponse:
    if urlsplit(address.url).scheme not in ("http", "https"):
        raise ConfigurationError(f"{address.url} is no address to fetch weights from; check HF_ENDPOINT")
    request = urllib.request.Request(address.url)  # noqa: S310  # just checked
    request.add_header("Range", f"bytes={part.size}-")
    for name, value in address.headers.items():
        request.add_unredirected_header(name, value)
    try:
        return urllib.request.urlopen(request, timeout=SILENT_SECONDS)  # type: ignore[no-any-return]  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code in _TEMPORARY:
            raise Interrupted(f"{_host(address)} answers {error.code}") from error
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.clear()  # the file there ends before what is asked for: it is another one
        raise ConfigurationError(
            f"{_host(address)} answers {error.code} {error.reason}; try again later, or check HF_ENDPOINT"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise Interrupted(f"{_host(address)}: {error or type(error).__name__}") from error


def _chunk(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise Interrupted(str(error) or type(error).__name__) from error


def _host(address: Address) -> str:
    """All of an address that may be shown: the rest may be a signature."""
    return urlsplit(address.url).netloc.rpartition("@")[2]


def _check_room(part: Part, wanted: Weight) -> None:
    free, lacking = shutil.disk_usage(part.place.parent).free, wanted.size - part.size
    if free < lacking:
        raise ConfigurationError(
            f"weights {wanted.name} need {readable(lacking)} more at {part.place.parent}, where {readable(free)} are "
            f"free; make room there, or set DUBLINE_WEIGHTS to another folder"
        )


def _check(part: Part, wanted: Weight) -> None:
    found = part.sha256() if part.size == wanted.size else f"of more than {wanted.size} bytes"
    if found != wanted.sha256:
        part.clear()
        raise ConfigurationError(
            f"what came from {wanted.source} is not the file of weights {wanted.name}: its SHA-256 is {found}, "
            f"not {wanted.sha256}; nothing was kept; try again, and check HF_ENDPOINT"
        )


def _given_up(part: Part, wanted: Weight, error: Interrupted) -> str:
    return (
        f"weights {wanted.name} could not be fetched from {wanted.source}: {error}; {readable(part.size)} of "
        f"{readable(wanted.size)} are kept; check the network and run `dubline models fetch {wanted.name}` to go on"
    )
