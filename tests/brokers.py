"""Brokers of a test's own: one that may be killed, one behind Sentinels, and TLS before one that speaks none.

`tls/` holds a certificate for 127.0.0.1 and its key, which nothing but these tests trusts.
"""

import asyncio
import secrets
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

from producer.local import Command, Service, valkey_program

TLS = Path(__file__).parent / "tls"
CERTIFICATE, SERVER = TLS / "certificate.pem", TLS / "server.pem"
PORTS = range(22_100, 32_000)


class Broker:
    """A Valkey that may be killed and started again on its port; it forgets everything."""

    def __init__(self, folder):
        self._folder, self._config = folder, folder / "valkey.conf"
        self._running = []
        port = secrets.choice(PORTS)
        self._config.write_text(f'bind 127.0.0.1\nport {port}\nsave ""\nappendonly no\n')
        self.url = f"redis://127.0.0.1:{port}/0"

    def start(self):
        argv = [valkey_program(), str(self._config)]
        with redis.Redis.from_url(self.url) as client:
            command = Command("broker", argv, {}, self._folder, lambda: answers(client))
            self._running.append(Service(command, self._folder / "broker.log"))
            self._running[-1].until_ready()

    def kill(self):
        while self._running:
            self._running.pop().kill()


def answers(client):
    try:
        return client.ping()
    except redis.ConnectionError:
        return False


@contextmanager
def sentinels(folder):
    """A master, its replica, and a Sentinel that watches them, all with a password; the master, and the address."""
    services = {}
    ports = secrets.SystemRandom().sample(PORTS, 3)
    common = "bind 127.0.0.1\nprotected-mode no\ndir .\n"
    redis_lines = 'requirepass pw\nmasterauth pw\nsave ""\nrepl-diskless-sync-delay 0\n'
    watch = [
        f"monitor m 127.0.0.1 {ports[0]} 1",
        "auth-pass m pw",
        "down-after-milliseconds m 500",
        "failover-timeout m 3000",
    ]
    lines = {
        "master": redis_lines,
        "replica": f"{redis_lines}replicaof 127.0.0.1 {ports[0]}\n",
        "sentinel": "".join(f"sentinel {each}\n" for each in watch),
    }
    try:
        for (name, text), port in zip(lines.items(), ports, strict=True):
            services[name] = _started(folder, name, f"{common}port {port}\n{text}", port)
        with redis.Redis(port=ports[0], password="pw") as master, redis.Redis(port=ports[2]) as sentinel:
            _until(lambda: master.info("replication")["connected_slaves"] == 1)
            _until(lambda: len(sentinel.sentinel_slaves("m")) == 1)
        yield services["master"], f"sentinel://:pw@127.0.0.1:1;sentinel://127.0.0.1:{ports[2]}/0?master=m"
    finally:
        for each in services.values():
            each.kill()


def _started(folder, name, text, port):
    own = folder / name
    own.mkdir()
    (own / "valkey.conf").write_text(text)
    argv = [valkey_program(), "valkey.conf", *(["--sentinel"] if name == "sentinel" else [])]
    with redis.Redis(port=port, password=None if name == "sentinel" else "pw") as client:
        service = Service(Command(name, argv, {}, own, lambda: answers(client)), folder / f"{name}.log")
        service.until_ready()
    return service


def _until(true, seconds=20):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


class TlsServer:
    """What stands before a Redis that speaks no TLS itself."""

    def __init__(self, target):
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._thread.start()
        assert self._started.wait(10)

    def close(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(SERVER)
        self._stop, self._passing = asyncio.Event(), set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        for each in self._passing:
            each.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)
        await asyncio.sleep(0.05)  # sockets close in the loop's next turns

    async def _accept(self, reader, writer):
        self._passing.add(asyncio.current_task())
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            await asyncio.gather(self._pass(reader, there_writer), self._pass(there_reader, writer))
        except asyncio.CancelledError:
            pass  # the end; asyncio's streams would print it
        finally:
            for each in (writer, there_writer):
                each.transport.abort()

    async def _pass(self, reader, writer):
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()
