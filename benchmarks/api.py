"""What the API carries: uploads at once, status in a second, and its memory while a large file goes through.

    python -m benchmarks.api [--processes 2] [--uploads 500] [--seconds 10] [--connections 32] [--gigabytes 2]

Everything on this machine: Valkey and SeaweedFS of the embedded stack, the server, and the clients, which take a share of its
cores. The clients are asyncio streams that write requests and read answers by hand, so that they take little of it.
"""

import argparse
import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from contract.settings import Settings
from producer.local import LocalStack, _environment, _free_ports

EDGE = "edge"


class Client:
    """One connection that is kept."""

    def __init__(self, port):
        self._port = port

    async def __aenter__(self):
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_):
        self._writer.close()
        await self._writer.wait_closed()

    async def ask(self, head, body=()):
        """Status and body of the answer."""
        self._writer.write(head)
        for chunk in body:
            self._writer.write(chunk)
            await self._writer.drain()
        said = await self._reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", said)[1])
        return int(said[9:12]), await self._reader.readexactly(length)


def part(name, filename):
    return (
        f'--{EDGE}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'.encode()
    )


def form_head(length):
    kind = f"multipart/form-data; boundary={EDGE}"
    return f"POST /generate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n".encode()


def small_form(number):
    """A video of 100 kB and an audio of 20 kB, different each time."""
    video, audio = (f"{number:08}".encode() * times for times in (12_500, 2_500))
    body = (
        part("video", "v.mp4")
        + video
        + b"\r\n"
        + part("audio", "a.wav")
        + audio
        + f"\r\n--{EDGE}--\r\n".encode()
    )
    return form_head(len(body)) + body


async def timed(port, requests, connections):
    """Seconds of each request, and how many were not answered as they should."""
    seconds, errors = [], 0
    waiting = iter(requests)

    async def work():
        nonlocal errors
        async with Client(port) as client:
            for request in waiting:
                began = time.perf_counter()
                status, _ = await client.ask(request)
                seconds.append(time.perf_counter() - began)
                errors += status not in (200, 202)

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(connections)))
    return seconds, errors, time.perf_counter() - began


async def submit(port):
    """A job that waits."""
    async with Client(port) as client:
        _, body = await client.ask(small_form(0))
    return re.search(rb'"id":"([0-9a-f]{64})"', body)[1].decode()


async def large(port, gigabytes, pids):
    """Most memory of any process of the server while one file goes through, and how fast it went."""
    block = os.urandom(2**20)
    count = int(gigabytes * 1000)
    first, last = (
        part("video", "v.mp4"),
        b"\r\n" + part("audio", "a.wav") + b"sound\r\n" + f"--{EDGE}--\r\n".encode(),
    )
    most, done = 0, False

    async def watch():
        nonlocal most
        while not done:
            most = max([most, *map(rss, pids)])
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    began = time.perf_counter()
    async with Client(port) as client:
        chunks = (first, *(block,) * count, last)
        status, _ = await client.ask(form_head(len(first) + count * 2**20 + len(last)), chunks)
    done = True
    await watching
    return status, most, count * 2**20 / (time.perf_counter() - began)


def rss(pid):
    """Bytes in memory; 0 of a process that is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def cpu_seconds(pid):
    """Of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def family(pid):
    """The process and all that it started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


def told(name, seconds, errors, wall):
    ordered = sorted(seconds)
    p50, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    print(
        f"{name}: {len(seconds)} requests in {wall:.1f} s, {len(seconds) / wall:.0f}/s, "
        f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, errors {errors}"
    )


async def measure(port, pid, options):
    for _ in range(200):
        try:
            job = await submit(port)
            break
        except OSError:
            await asyncio.sleep(0.1)
    await asyncio.sleep(5)  # until every process serves
    pids = family(pid)
    print(f"{options.processes} processes; RSS at rest {max(map(rss, pids)) / 2**20:.0f} MiB")
    forms = [small_form(number) for number in range(1, options.uploads + 1)]
    told("uploads at once", *await timed(port, forms, len(forms)))
    ask = f"GET /jobs/{job} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    end = time.perf_counter() + options.seconds

    def asks():
        while time.perf_counter() < end:
            yield ask

    before = sum(map(cpu_seconds, pids))
    seconds, errors, wall = await timed(port, asks(), options.connections)
    told("status", seconds, errors, wall)
    each = (sum(map(cpu_seconds, pids)) - before) / len(seconds)
    print(f"status: {each * 1000:.2f} ms of one core a request, whatever else runs here")
    if options.gigabytes:
        status, most, rate = await large(port, options.gigabytes, pids)
        print(
            f"{options.gigabytes:g} GB in one form: answer {status}, {rate / 1e6:.0f} MB/s, "
            f"most RSS of one process {most / 2**20:.0f} MiB"
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--uploads", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--gigabytes", type=float, default=2)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalStack.start(Path(folder), workers=0, feeder=False, flower=False, settings=Settings()) as stack,
    ):
        (port,) = _free_ports(1)
        command = [
            sys.executable,
            "-m",
            "producer.cli",
            "api",
            f"--port={port}",
            f"--processes={options.processes}",
        ]
        with subprocess.Popen(command, env=_environment(stack.settings)) as server:
            try:
                asyncio.run(measure(port, server.pid, options))
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
