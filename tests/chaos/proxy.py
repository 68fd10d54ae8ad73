"""A hostile network before the store: refusals, delays and cut connections, before and after the store did its work.

    clients ──► Proxy ──► store        whole requests and whole replies; nothing is streamed, the media are tiny

It runs on a thread of its own, keeps the port, and says what it did to whom.
"""

import asyncio
import random
import re
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

LOOPBACK = "127.0.0.1"
HEAD_BYTES = 1 << 17
_MANIFEST = re.compile(r"/jobs/([0-9a-f]+)/manifest\.json$")
_BUSY = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>by the proxy</Message></Error>"
REFUSAL = b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n" % len(
    _BUSY
)


@dataclass(frozen=True)
class Rates:
    """Chances, from 0 to 1, of what may happen to one request."""

    refused: float = 0.0
    """503, and the store never hears of it."""
    cut_before: float = 0.0
    """The connection ends before the request reached the store ..."""
    cut_after: float = 0.0
    """... after the store did what was asked: the reply is lost ..."""
    cut_within: float = 0.0
    """... or in the middle of the reply."""
    delayed: float = 0.0
    lost_commits: float = 0.0
    """`cut_after`, for puts of a job's manifest that the store accepted."""
    delay_seconds: float = 1.0
    """Longest delay."""


CALM = Rates()
ROUGH = Rates(
    refused=0.02, cut_before=0.01, cut_after=0.01, cut_within=0.005, delayed=0.03, lost_commits=0.08
)
OUTAGE = replace(ROUGH, refused=1.0)


@dataclass(frozen=True)
class _Message:
    """One request or reply: its head with the blank line, and its body as it went over the wire."""

    head: bytes
    body: bytes

    @property
    def first_line(self) -> list[str]:
        return self.head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)

    @property
    def commits(self) -> str | None:
        """The job whose manifest this request writes, if it does."""
        method, path, _ = self.first_line
        found = _MANIFEST.search(path.partition("?")[0])
        return found.group(1) if found and method == "PUT" else None

    @property
    def wire(self) -> bytes:
        return self.head + self.body


class Proxy:
    """Between any number of clients and the store's port. A context: the thread ends with it."""

    def __init__(self, target_port: int, seed: int, rates: Rates = CALM) -> None:
        self.rates = rates
        self.counts: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        """Times that the store said yes to a put of a job's manifest, whether or not its client heard of it."""
        self.unanswered: set[str] = set()
        """Jobs whose commit the store may have taken before it died."""
        self.port = 0
        self._target_port = target_port
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._listening = threading.Event()

    def __enter__(self) -> "Proxy":
        self._thread.start()
        self._listening.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, LOOPBACK, 0, limit=HEAD_BYTES)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for each in tasks:
            each.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        store = _Store(self._target_port)
        try:
            while await self._one(reader, writer, store):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            self.counts["store away"] += store.is_away
        except asyncio.CancelledError:
            pass  # the end; asyncio's streams would print it
        finally:
            store.leave()
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, store: "_Store") -> bool:
        """Answer one request; False: the connection is to end."""
        request = await _read(reader, on_expect=lambda: writer.write(b"HTTP/1.1 100 Continue\r\n\r\n"))
        if request is None:
            return False
        self.counts["requests"] += 1
        if self._happens("delayed", self.rates.delayed):
            await asyncio.sleep(self._random.random() * self.rates.delay_seconds)
        if self._happens("refused", self.rates.refused):
            writer.write(REFUSAL + _BUSY)
            return True
        if self._happens("cut before", self.rates.cut_before):
            return False
        reply = await self._ask(request, store)
        if self._is_lost(request, reply):
            return False
        is_cut = len(reply.body) > 1 and self._happens("cut within", self.rates.cut_within)
        writer.write(reply.wire[: -len(reply.body) // 2] if is_cut else reply.wire)
        await writer.drain()
        return not is_cut

    async def _ask(self, request: _Message, store: "_Store") -> _Message:
        job = request.commits
        if job is None:
            return await store.ask(request)
        try:
            reply = await store.ask(request)
        except (OSError, asyncio.IncompleteReadError):
            self.unanswered.add(job)
            raise
        self.accepted[job] += reply.first_line[1] == "200"
        return reply

    def _is_lost(self, request: _Message, reply: _Message) -> bool:
        if request.commits and reply.first_line[1] == "200":
            return self._happens("lost commits", self.rates.lost_commits)
        return self._happens("cut after", self.rates.cut_after)

    def _happens(self, what: str, chance: float) -> bool:
        happens = self._random.random() < chance
        self.counts[what] += happens
        return happens


class _Store:
    """The other side, connected when first asked."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.is_away = False

    async def ask(self, request: _Message) -> _Message:
        """The store's reply. Raises OSError or IncompleteReadError while it is away."""
        self.is_away = True
        if self._streams is None:
            self._streams = await asyncio.open_connection(LOOPBACK, self._port, limit=HEAD_BYTES)
        reader, writer = self._streams
        writer.write(request.wire)
        await writer.drain()
        reply = await _read(reader, bodiless=request.first_line[0] == "HEAD")
        if reply is None:
            raise ConnectionResetError("the store ended the connection")
        self.is_away = False
        return reply

    def leave(self) -> None:
        if self._streams:
            self._streams[1].transport.abort()


async def _read(
    reader: asyncio.StreamReader, *, bodiless: bool = False, on_expect: Callable[[], None] | None = None
) -> _Message | None:
    """The next message; None where the other side has nothing more to say."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    fields = _fields(head)
    if on_expect and fields.pop("expect", None):
        on_expect()
        head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(b"expect:"))
    if bodiless or head.startswith((b"HTTP/1.1 204", b"HTTP/1.1 304")):
        return _Message(head, b"")
    if fields.get("transfer-encoding", "").lower() == "chunked":
        return _Message(head, await _chunks(reader))
    return _Message(head, await reader.readexactly(int(fields.get("content-length", "0"))))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """A chunked body as it is on the wire, with its trailers."""
    body = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        body += line
        if size == 0:
            break
        body += await reader.readexactly(size + 2)
    while True:
        line = await reader.readuntil(b"\r\n")
        body += line
        if line == b"\r\n":
            return body


def _fields(head: bytes) -> dict[str, str]:
    fields = {}
    for line in head.decode("latin-1").split("\r\n")[1:]:
        with suppress(ValueError):
            name, value = line.split(":", 1)
            fields[name.strip().lower()] = value.strip()
    return fields
