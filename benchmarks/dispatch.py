"""What Dubline itself costs a job, and how that grows with the fleet: `python -m benchmarks.dispatch [--json]`.

The embedded stack of this machine with its real feeder and real workers; only the middle of each job is missing: it
returns at once, or waits without using a core. All that stands around it is real: publish, claim, beat, commit, announce.
"""

import argparse
import json
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from contract import keys
from contract.job import Job, Row, Source
from contract.settings import Settings
from contract.storage import Storage
from producer.local import Command, LocalStack, _environment
from tests.chaos.history import Event, read

ROOT = Path(__file__).parents[1]
LIMIT_SECONDS = 1800.0
"""A batch that is not through after this long gives no figures."""
WAIT_SECONDS = 0.5
JOBS_PER_WORKER = 80
"""Of the jobs that wait, to see how the fleet scales."""


@dataclass(frozen=True)
class Measured:
    """One batch on a stack of its own."""

    workers: int
    waits_seconds: float
    """What each job does: nothing, for so long."""
    jobs: int
    seconds: float
    """From the first job's begin to the last one's end."""
    jobs_per_second: float
    overhead_ms: float
    """A worker's time per job beyond the job's own, waiting for the next message included."""
    turn_ms: float | None
    """Median time from the end of a job's middle to the begin of the next one's in the same process."""


def measure(jobs: int, workers: int, waits_seconds: float) -> Measured:
    """Submit a batch when all workers are awake, and read the history that its jobs wrote."""
    with tempfile.TemporaryDirectory(prefix="dubline-dispatch-") as name:
        folder = Path(name)
        with fleet(folder, workers) as stack:
            storage = Storage(stack.settings)
            submit(storage, "warm-up", jobs=4 * workers, waits_seconds=0.2)
            until_closed(stack, storage, "warm-up")
            submit(storage, "measured", jobs, waits_seconds)
            since = time.time()
            until_closed(stack, storage, "measured")
        events, _ = read(folder / "history.jsonl")
    return summary([each for each in events if each.at > since], workers, waits_seconds)


@contextmanager
def fleet(folder: Path, workers: int) -> Iterator[LocalStack]:
    settings = Settings().model_copy(update={"fleet_size": workers})
    with LocalStack.start(folder / "stack", workers=0, flower=False, settings=settings) as stack:
        environment = _environment(stack.settings) | {"PYTHONPATH": str(ROOT), "CHAOS_FOLDER": str(folder)}
        for number in range(1, workers + 1):
            name = f"worker{number}"
            words = ["-m", "celery", "-A", "tests.chaos.app", "worker", "-n", f"{name}@%h", "-E"]
            argv = [sys.executable, *words, "--without-gossip", "--without-mingle"]
            stack._run(Command(name, argv, environment, folder / name, stop_seconds=15))
        yield stack


def submit(storage: Storage, batch: str, jobs: int, waits_seconds: float) -> None:
    same = Source(uri=f"s3://{storage.bucket}/nothing")
    rows = (
        Row(
            id=f"noop-{waits_seconds:g}-{number:05}",
            job=Job(video=same, audio=same, nonce=secrets.token_hex(8)),
        )
        for number in range(jobs)
    )
    storage.put_if_absent(keys.rows(batch), b"".join(row.model_dump_json().encode() + b"\n" for row in rows))


def until_closed(stack: LocalStack, storage: Storage, batch: str) -> None:
    """Wait for its last row. Raises TimeoutError: figures of half a batch would look like those of a whole one."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while storage.stat(keys.summary(batch)) is None:
        stack.check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"batch {batch} was not through after {LIMIT_SECONDS:g} s")
        time.sleep(0.5)


def summary(events: Sequence[Event], workers: int, waits_seconds: float) -> Measured:
    spans = list(bodies(events))
    seconds = max(end for _, _, end in spans) - min(begin for _, begin, _ in spans)
    own = sum(end - begin for _, begin, end in spans)
    return Measured(
        workers=workers,
        waits_seconds=waits_seconds,
        jobs=len(spans),
        seconds=round(seconds, 1),
        jobs_per_second=round(len(spans) / seconds, 2),
        overhead_ms=round(1000 * (workers * seconds - own) / len(spans), 1),
        turn_ms=turn_ms(spans),
    )


def bodies(events: Sequence[Event]) -> Iterator[tuple[str, float, float]]:
    """Process, begin and end of each job's middle."""
    begun: dict[str, float] = {}
    for each in events:
        if each.what == "began":
            begun[each.attempt] = each.at
        if each.what == "ended" and each.attempt in begun:
            yield each.who, begun[each.attempt], each.at


def turn_ms(spans: Sequence[tuple[str, float, float]]) -> float | None:
    """The median counts turns where a message was there; the others waited for the feeder."""
    by_process: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for process, begin, end in spans:
        by_process[process].append((begin, end))
    turns = [
        following[0] - ended[1] for each in by_process.values() for ended, following in pairwise(sorted(each))
    ]
    return round(1000 * statistics.median(turns), 1) if turns else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=5000, help="that do nothing")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    plan = [(given.jobs, max(given.workers), 0.0)]
    plan += [(JOBS_PER_WORKER * workers, workers, WAIT_SECONDS) for workers in given.workers]
    measured = []
    for jobs, workers, waits_seconds in plan:
        measured.append(measure(jobs, workers, waits_seconds))
        if not given.json:
            print(line(measured[-1]), flush=True)
    if given.json:
        print(
            json.dumps({"cores": os.cpu_count(), "measured": [asdict(each) for each in measured]}, indent=1)
        )
    return 0


def line(each: Measured) -> str:
    turn = "?" if each.turn_ms is None else f"{each.turn_ms:g}"
    return (
        f"{each.jobs} jobs of {each.waits_seconds:g} s, {each.workers} workers, {os.cpu_count()} cores: {each.seconds:g} s, "
        f"{each.jobs_per_second:g} jobs/s, overhead {each.overhead_ms:g} ms a job, median turn {turn} ms"
    )


if __name__ == "__main__":
    sys.exit(main())
