"""The parent's side of the decode child: start it, talk to it, and never wait for it longer than the limits say."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

from contract.errors import (
    BY_CODE,
    ConfigurationError,
    DecodeLimit,
    EmptyInput,
    InputNotFound,
    InputTooLarge,
    NotMedia,
    ResourceExhausted,
)
from worker.media import wire
from worker.media.limits import Limits

_PACKAGE_ROOT = Path(__file__).parents[2]
_ENDED_SECONDS = 5.0
_TAIL_BYTES = 2000


@dataclass(frozen=True)
class Message:
    """One message of the child; its payload waits in the pipe until it is read."""

    kind: str
    fields: dict[str, Any]
    payload_bytes: int


class Decoder:
    """One decode child for one file: `python -m worker.media.child` with nothing of our environment.

    The kernel ends the child when the thread that started it ends: keep that thread alive as long as the Decoder.
    `touch` is called whenever the child gives a sign of life.

    Raises:
        EmptyInput, InputTooLarge, InputNotFound: before any child is started.
        ConfigurationError: the child cannot run at all.
    """

    def __init__(self, path: Path, limits: Limits, touch: Callable[[], None] = lambda: None) -> None:
        self._limits = limits
        self._touch = touch
        self._name = path.name
        _check_file(path, limits)
        self._process = subprocess.Popen(
            [sys.executable, "-s", "-P", "-m", "worker.media.child", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=_environment(),
            start_new_session=True,
        )
        self._pipe = cast(BinaryIO, self._process.stdout)
        _widen(self._pipe)
        self._poll = select.poll()
        self._poll.register(self._pipe, select.POLLIN)
        try:
            self._greet()
            self.ask("open", path=str(path.resolve()), limits=asdict(limits))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, do: str, **arguments: Any) -> None:
        """Send one request; the answers are read by `receive` or `answers`."""
        line = json.dumps({"do": do, **arguments}).encode() + b"\n"
        try:
            cast(BinaryIO, self._process.stdin).write(line)
        except BrokenPipeError:
            self._raise_ended()

    def answers(self) -> Iterator[Message]:
        """The messages up to and including `end`. Payloads must be read before the next message is asked for."""
        while True:
            message = self.receive()
            yield message
            if message.kind == "end":
                return

    def receive(self) -> Message:
        """The next message that is not a beat.

        Raises:
            InputRejected: what the child found wrong with the file.
            DecodeLimit: the child stalled, or died of one of its bounds.
        """
        while True:
            header_bytes, payload_bytes = wire.LENGTHS.unpack(self.read(wire.LENGTHS.size))
            fields = json.loads(self.read(min(header_bytes, wire.MAX_HEADER_BYTES)))
            self._touch()
            kind = fields.pop("kind")
            if kind == "error":
                raise BY_CODE[fields["code"]](f"{self._name}: {fields['message']}")
            if kind != "beat":
                return Message(kind, fields, payload_bytes)

    def read(self, size: int) -> bytearray:
        """The next bytes of the pipe."""
        data = bytearray(size)
        self.read_into(memoryview(data))
        return data

    def read_into(self, view: memoryview) -> None:
        """Fill the view (bytes, contiguous) from the pipe.

        Raises:
            DecodeLimit: nothing came for `stall_seconds`, or the child died of one of its bounds.
            ResourceExhausted: the child was killed from outside.
        """
        deadline = time.monotonic() + self._limits.stall_seconds
        filled = 0
        while filled < len(view):
            if not self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise self._stalled()
            got = self._pipe.readinto(view[filled:])  # type: ignore[attr-defined]  # a raw FileIO
            if not got:
                self._raise_ended()
            filled += got

    def close(self) -> None:
        """End the child and whatever it started."""
        with suppress(ProcessLookupError):  # it has ended and been waited for
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _greet(self) -> None:
        try:
            self.receive()
        except (DecodeLimit, NotMedia) as error:
            raise ConfigurationError(f"the decode process does not start: {error.message}") from error

    def _stalled(self) -> DecodeLimit:
        return DecodeLimit(
            f"{self._name}: decoding showed no progress for {self._limits.stall_seconds:g} s; convert the file, "
            "or raise DUBLINE_DECODE_STALL_SECONDS"
        )

    def _raise_ended(self) -> None:
        """Say why the child is gone."""
        try:
            code = self._process.wait(_ENDED_SECONDS)
        except subprocess.TimeoutExpired:
            raise self._stalled() from None
        tail = self._tail()
        if code == -signal.SIGKILL:  # none of our bounds: they end it by MemoryError and SIGXCPU
            raise ResourceExhausted(
                f"{self._name}: the decoder was ended by SIGKILL, most likely because this machine is short of "
                f"memory; give it more, or lower DUBLINE_DECODE_MEMORY_BYTES. {tail}"
            )
        if code < 0:
            name = signal.Signals(-code).name
            raise DecodeLimit(
                f"{self._name}: the decoder was ended by {name} (its bounds: {self._limits.memory_bytes >> 20} MiB, "
                f"{self._limits.cpu_seconds} CPU seconds); convert the file. {tail}"
            )
        raise NotMedia(f"{self._name}: the decoder failed on it (exit code {code}); convert the file. {tail}")

    def _tail(self) -> str:
        """The last line that the dead child wrote to stderr: of a traceback, the error itself."""
        written = cast(BinaryIO, self._process.stderr).read()
        lines = written[-_TAIL_BYTES:].decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _check_file(path: Path, limits: Limits) -> None:
    if not path.is_file():
        raise InputNotFound(f"{path} is not a file; check the path")
    size = path.stat().st_size
    if size == 0:
        raise EmptyInput(f"{path.name} has zero bytes; upload it again")
    if size > limits.bytes:
        raise InputTooLarge(
            f"{path.name} has {size} bytes, over the limit of {limits.bytes}; shorten it, or raise DUBLINE_MAX_INPUT_BYTES"
        )


def _environment() -> dict[str, str]:
    """Nothing secret reaches the child, and no library starts a thread pool there."""
    needed = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return needed | {
        "PYTHONPATH": str(_PACKAGE_ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",  # each arena reserves 64 MiB of the address space that RLIMIT_AS counts
    }


def _widen(pipe: BinaryIO) -> None:
    """Ask for a large pipe buffer where the kernel grants it."""
    try:
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, wire.PIPE_BYTES)
    except (ImportError, AttributeError, PermissionError):
        return  # not Linux, or over the user's quota of pipe memory: slower, not wrong
