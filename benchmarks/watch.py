"""What a drop folder of 10,000 pairs costs: `python -m benchmarks.watch [--pairs N] [--page-keys K] [--json]`.

A real SeaweedFS on this machine; the watcher runs in a process of its own. Counted are the listing calls as they leave botocore; seconds
are the wall clock of one `Watcher.scan`; memory is the resident set after it. `submit` claims and submits all pairs, `again` is the
look that every interval brings, `restart` is the first look of a new watcher. AWS gives 1,000 keys a call: `--page-keys 1000`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from contract.settings import Settings
from contract.storage import Storage
from producer.local import LocalStack, _environment
from producer.watch import scan as looking
from producer.watch.folder import Folder
from producer.watch.watcher import Watcher

LIMIT_SECONDS = 5.0
LIMIT_CALLS = 15
LOOKS = 10
"""Of one watcher, to see whether its memory grows."""
THREADS = 16


@dataclass(frozen=True)
class Look:
    """One scan."""

    what: str
    seconds: float
    cpu_seconds: float
    """Of the watcher's process: what of the seconds is not the store's, or others' on this machine."""
    list_calls: int
    requests: int
    """All of them, listing calls too."""
    rss_mb: float
    rows: int
    """Submitted in it."""


def fill(storage: Storage, pairs: int) -> None:
    names = [f"drop/clip{number:05}.{kind}" for number in range(pairs) for kind in ("mp4", "wav")]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda name: storage.put(name, name.encode()), names))


def look(watcher: Watcher, calls: list[str], what: str) -> Look:
    calls.clear()
    started, used = time.monotonic(), time.process_time()
    scan = watcher.scan()
    seconds, cpu = time.monotonic() - started, time.process_time() - used
    lists = sum(each == "ListObjectsV2" for each in calls)
    rows = sum(each.rows for each in scan.submitted)
    return Look(what, round(seconds, 2), round(cpu, 2), lists, len(calls), round(rss_mb(), 1), rows)


def rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def watch() -> None:
    """The process that is measured; its settings are in its environment."""
    looking.SETTLE = timedelta(seconds=-60)
    settings = Settings.read()
    storage = Storage(settings)
    calls: list[str] = []

    def count(model: Any, **_: Any) -> None:
        calls.append(model.name)

    storage._client.meta.events.register("before-call.s3", count)
    folder = Folder.parse("s3://dubline/drop/", settings.s3_bucket)
    watcher = Watcher(storage, settings, folder)
    looks = [look(watcher, calls, "submit")]
    looks += [look(watcher, calls, "again") for _ in range(LOOKS)]
    looks += [look(Watcher(storage, settings, folder), calls, "restart")]
    print(json.dumps([asdict(each) for each in looks]))


def measure(pairs: int, page_keys: int | None) -> list[Look]:
    with (
        tempfile.TemporaryDirectory(prefix="dubline-") as folder,
        LocalStack.start(
            Path(folder) / "stack", workers=0, feeder=False, flower=False, settings=Settings()
        ) as stack,
    ):
        fill(Storage(stack.settings), pairs)
        settings = stack.settings.model_copy(update={"list_page_keys": page_keys} if page_keys else {})
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.watch", "--child"],
            env=_environment(settings),
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
    return [Look(**each) for each in json.loads(done.stdout)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument(
        "--page-keys", type=int, help="Keys in one listing call; else the embedded store's 10,000."
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        watch()
        return
    looks = measure(options.pairs, options.page_keys)
    if options.json:
        print(json.dumps([asdict(each) for each in looks]))
    else:
        for each in looks:
            print(
                f"{each.what:8} {each.seconds:6.2f} s  {each.cpu_seconds:5.2f} s CPU  {each.list_calls:3} list calls  {each.requests:6} requests  "
                f"{each.rss_mb:6.1f} MB  {each.rows:6} rows submitted"
            )
    again = [each for each in looks if each.what == "again"]
    if max(each.seconds for each in again) > LIMIT_SECONDS or again[-1].list_calls > LIMIT_CALLS:
        sys.exit(f"a look may take {LIMIT_SECONDS:g} s and {LIMIT_CALLS} list calls")


if __name__ == "__main__":
    main()
