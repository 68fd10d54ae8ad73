"""What Dubline asks of Redis and of the store, at rest, for a job, and of a thousand workers: `python -m benchmarks.traffic`.

The embedded stack of this machine with real workers and the preview engine; a proxy before the store counts requests,
Valkey counts commands and its own time. A thousand workers are not started: this process says what they would say.
"""

import argparse
import json
import os
import secrets
import sys
import tempfile
import time
import wave
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.dispatch import submit as submit_rows
from benchmarks.dispatch import until_closed
from contract import keys
from contract.broker import Control
from contract.connection import connect
from contract.job import Job, JobOptions, Row, Source
from contract.ledger import Ledger, Progress
from contract.manifest import Manifest
from contract.settings import Settings
from contract.storage import Storage
from contract.workers import Roster, WorkerRecord
from producer.batches import batch_rows
from producer.local import LocalStack, _environment
from tests.chaos.proxy import Proxy, _Message, _Store

DEMO = Path(__file__).parents[1] / "demo"
WORKERS = 2
REST_SECONDS = 30.0
"""Each state is looked at for so long."""
SHORT_JOBS, LONG_JOBS = 12, 2
LONG_TIMES = 10
"""So many times the demo's short voice: more than two segments."""
PINGS = 20
WARM_SECONDS = 45.0
"""Until a feeder that has just begun has published its whole window."""
MANY = 1000
"""Workers that are told of and not started."""


class CountingProxy(Proxy):
    """Counts what goes through by method and folder, and harms nothing."""

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port, seed=0)
        self.seen: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()

    async def _ask(self, request: _Message, store: _Store) -> _Message:
        reply = await super()._ask(request, store)
        self.seen[_named(*request.first_line[:2])] += 1
        self.bytes["up"] += len(request.body)
        self.bytes["down"] += len(reply.body)
        return reply


def _named(method: str, path: str) -> str:
    place, _, query = path.partition("?")
    _, _, key = place.lstrip("/").partition("/")
    if "list-type" in query:
        return "LIST"
    return f"{method} {key.partition('/')[0] or 'bucket'}"


@dataclass(frozen=True)
class Counts:
    """Everything counted up to a moment, or between two."""

    seconds: float
    commands: Counter[str] = field(default_factory=Counter)
    """Calls by command; those that a script makes count, too."""
    redis_ms: float = 0.0
    """Time that Valkey's one thread for commands has worked. At a few commands a second it is its own clock's, not theirs."""
    redis_bytes: float = 0.0
    requests: Counter[str] = field(default_factory=Counter)
    store_bytes: Counter[str] = field(default_factory=Counter)

    def since(self, before: "Counts") -> "Counts":
        return Counts(
            self.seconds - before.seconds,
            self.commands - before.commands,
            self.redis_ms - before.redis_ms,
            self.redis_bytes - before.redis_bytes,
            self.requests - before.requests,
            self.store_bytes - before.store_bytes,
        )

    def told(self, rest: "Counts | None" = None, over: float = 1.0) -> dict[str, Any]:
        """Figures divided by `over`; what the same time at rest would have brought is taken off first."""
        share = self.seconds / rest.seconds if rest else 0.0

        def net(mine: Mapping[str, int], theirs: Mapping[str, int]) -> dict[str, float]:
            left = {each: round((mine[each] - share * theirs.get(each, 0)) / over, 2) for each in mine}
            return dict(
                sorted(((k, v) for k, v in left.items() if abs(v) >= 0.05), key=lambda each: -each[1])
            )

        commands = net(self.commands, rest.commands if rest else {})
        requests = net(self.requests, rest.requests if rest else {})
        return {
            "commands": round(sum(commands.values()), 1),
            "redis_ms": round((self.redis_ms - share * (rest.redis_ms if rest else 0)) / over, 2),
            "redis_kb": round(
                (self.redis_bytes - share * (rest.redis_bytes if rest else 0)) / over / 1000, 2
            ),
            "requests": round(sum(requests.values()), 2),
            "store_mb": {k: round(v / over / 1e6, 3) for k, v in self.store_bytes.items()},
            "by_command": commands,
            "by_request": requests,
        }


class Watch:
    """Reads the counters of one stack."""

    def __init__(self, settings: Settings, proxy: CountingProxy) -> None:
        self._redis = connect(settings.redis_url.get_secret_value())
        self._proxy = proxy

    def now(self) -> Counts:
        info: Any = self._redis.info("all")
        calls = Counter(
            {
                name.removeprefix("cmdstat_"): each["calls"]
                for name, each in info.items()
                if name.startswith("cmdstat_")
            }
        )
        busy = info["used_cpu_user_main_thread"] + info["used_cpu_sys_main_thread"]
        wire = info["total_net_input_bytes"] + info["total_net_output_bytes"]
        return Counts(
            time.monotonic(), calls, 1000 * busy, wire,
            Counter(self._proxy.seen), Counter(self._proxy.bytes),
        )  # fmt: skip

    def rest(self, seconds: float = REST_SECONDS) -> Counts:
        before = self.now()
        time.sleep(seconds)
        return self.now().since(before)


@contextmanager
def counted(folder: Path, **given: Any) -> Iterator[tuple[LocalStack, Watch, Storage]]:
    """Broker and store with the proxy before it; no process of Dubline yet. The store without the proxy is for this one."""
    settings = Settings().model_copy(update=given)
    with LocalStack.start(folder, workers=0, feeder=False, flower=False, settings=settings) as stack:
        port, uncounted = _port(str(stack.settings.s3_endpoint)), Storage(stack.settings)
        with CountingProxy(port) as proxy:
            stack._use(s3_endpoint=f"http://127.0.0.1:{proxy.port}", list_page_keys=1000)
            yield stack, Watch(stack.settings, proxy), uncounted


def of_jobs(folder: Path) -> dict[str, Any]:
    """At rest without and with workers, while a worker starts, and for short and long jobs."""
    with counted(folder / "stack", fleet_size=WORKERS) as (stack, watch, storage):
        stack._start_processes(workers=0, feeder=True, flower=False, api=False)
        time.sleep(10)
        alone = watch.rest()
        before = watch.now()
        environment = _environment(stack.settings)
        for number in range(1, WORKERS + 1):
            stack._start_worker(f"worker{number}", environment)
        stack._await()
        time.sleep(20)
        started = watch.now().since(before)
        rest = watch.rest()
        pings = _pings(stack.settings, watch)
        short = _batch(stack, watch, storage, "short", SHORT_JOBS, DEMO / "voice-short.wav")
        long = _batch(stack, watch, storage, "long", LONG_JOBS, _repeated(folder / "long.wav"))
        connections = [
            _connections(each.pid, stack.settings) for each in stack.services if "worker" in each.name
        ]
    return {
        "connections to Redis of each worker that has had a job": connections,
        "at rest, a feeder alone, a second": alone.told(over=alone.seconds),
        "at rest, each worker, a second": rest.told(alone, over=WORKERS * rest.seconds),
        "the start of a worker": started.told(alone, over=WORKERS),
        f"a ping, with {WORKERS} workers": pings.told(rest, over=PINGS),
        "a short job": short[0].told(rest, over=SHORT_JOBS) | short[1],
        "a long job": long[0].told(rest, over=LONG_JOBS) | long[1],
    }


def _pings(settings: Settings, watch: Watch) -> Counts:
    """As `python -m worker.ping` asks: with a connection of its own each time."""
    name = next(iter(Roster(settings).workers())).name
    before = watch.now()
    for _ in range(PINGS):
        control = Control(settings)
        control.answers(name)
        control.close()
    return watch.now().since(before)


def _batch(
    stack: LocalStack, watch: Watch, storage: Storage, name: str, jobs: int, voice: Path
) -> tuple[Counts, dict[str, Any]]:
    video, audio = keys.uploaded("video" + name, ".mp4"), keys.uploaded("audio" + name, voice.suffix)
    storage.put(video, (DEMO / "portrait.mp4").read_bytes(), "video/mp4")
    storage.put(audio, voice.read_bytes(), "audio/wav")
    before = watch.now()
    rows = (
        Row(
            id=f"{name}-{number}",
            job=Job(
                video=Source(uri=f"s3://{storage.bucket}/{video}"),
                audio=Source(uri=f"s3://{storage.bucket}/{audio}"),
                options=JobOptions(engine="preview"),
                nonce=secrets.token_hex(8),
            ),
        )
        for number in range(jobs)
    )
    storage.put_if_absent(keys.rows(name), b"".join(row.model_dump_json().encode() + b"\n" for row in rows))
    until_closed(stack, storage, name)
    counts = watch.now().since(before)
    found = [
        Manifest.model_validate_json(storage.get(keys.manifest(row.job.id)) or b"")
        for row in batch_rows(storage, name)
    ]
    busy = sum((each.attempt.ended - each.attempt.started).total_seconds() for each in found)
    output = sum(each.output.duration_seconds for each in found if each.output)
    ended = Counter(each.status for each in found)
    return counts, {
        "ended": dict(ended),
        "busy_seconds": round(busy / jobs, 2),
        "output_seconds": round(output / jobs, 2),
    }


def _port(url: str) -> int:
    return int(url.partition("//")[2].rpartition(":")[2].partition("/")[0])


def _connections(session: int, settings: Settings) -> int:
    """Connections to Redis of all processes of one session, as Linux lists them."""
    port = f":{_port(settings.redis_url.get_secret_value()):04X}"
    lines = [each.split() for each in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    wanted = {f"socket:[{each[9]}]" for each in lines if each[2].endswith(port)}
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getsid(int(process.name)) == session:
                found += sum(str(each.readlink()) in wanted for each in (process / "fd").iterdir())
    return found


def _repeated(path: Path) -> Path:
    with wave.open(str(DEMO / "voice-short.wav")) as short, wave.open(str(path), "wb") as whole:
        whole.setparams(short.getparams())
        sound = short.readframes(short.getnframes())
        for _ in range(LONG_TIMES):
            whole.writeframes(sound)
    return path


def of_many(folder: Path) -> dict[str, Any]:
    """What many workers say, as often as they would; a feeder whose window is theirs; and both."""
    with counted(folder / "many", fleet_size=MANY) as (stack, watch, storage):
        quiet = watch.rest(REST_SECONDS / 3)
        before = watch.now()
        rounds, seconds = _say(stack.settings, REST_SECONDS)
        said = watch.now().since(before)
        submit_rows(storage, "many", jobs=3 * MANY, waits_seconds=0)
        stack._start_processes(workers=0, feeder=True, flower=False, api=False)
        time.sleep(WARM_SECONDS)
        full = watch.rest()
        before = watch.now()
        _say(stack.settings, REST_SECONDS)
        both = watch.now().since(before)
    return {
        f"the words of {MANY} busy workers, once each": said.told(quiet, over=rounds),
        f"seconds to say all words of {MANY} workers": round(seconds / rounds, 2),
        f"a feeder with {2 * MANY + 4} jobs in its window, a second": full.told(over=full.seconds),
        "its looks a second": round(full.commands["zrange"] / full.seconds, 2),
        f"its looks a second among {MANY} workers": round(both.commands["zrange"] / both.seconds, 2),
    }


def _say(settings: Settings, seconds: float) -> tuple[int, float]:
    """Rounds in which every worker announced itself and beat, and how long they took; a round is a second at least."""
    roster, ledger = Roster(settings), Ledger(settings)
    names = [f"worker@ip-10-0-0-{number}" for number in range(MANY)]
    for each in names:
        ledger.claim(f"job-{each}", each, 60.0)
    began, rounds = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        round_began = time.monotonic()
        for number, each in enumerate(names):
            roster.announce(_record(each, number))
            ledger.beat(
                f"job-{each}", each, 60.0, f"tag-{number}", Progress("generating", number, 1000, 25.0)
            )
        rounds += 1
        time.sleep(max(1.0 - (time.monotonic() - round_began), 0.0))
    return rounds, time.monotonic() - began


def _record(name: str, number: int) -> WorkerRecord:
    """As long as a busy worker's."""
    return WorkerRecord(
        name=name, host=name.partition("@")[2], doing="busy", device="NVIDIA A10G", gpu_used_bytes=8 * 2**30,
        gpu_bytes=24 * 2**30, software={"python": "3.11.7", "dubline": "0.1.0", "celery": "5.7.0", "torch": "2.13.0"},
        batch="many", row=f"row-{number:05}", job=f"{number:064x}", attempt=f"{number:032x}",
        stage="generating", frames=number, total=1000, fps=25.0,
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("jobs", "many"))
    only = parser.parse_args().only
    told: dict[str, Any] = {"cores": os.cpu_count(), "load": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory(prefix="dubline-traffic-") as name:
        if only != "many":
            told |= of_jobs(Path(name))
        if only != "jobs":
            told |= of_many(Path(name))
    print(json.dumps(told, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
