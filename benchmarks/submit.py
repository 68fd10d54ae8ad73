"""How long 100,000 rows of s3:// pairs take to submit, and how much memory: `python -m benchmarks.submit [--json]`.

The real command runs as a process of its own against a real SeaweedFS on this machine; seconds are its wall clock
from start to exit (imports too), memory is its peak resident set.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import SecretStr

from contract.settings import PREFIX, Settings
from producer.local import LocalStack

LIMIT_SECONDS = 10.0
LIMIT_MB = 300.0


@dataclass(frozen=True)
class Measured:
    rows: int
    seconds: float
    peak_rss_mb: float
    resubmit_seconds: float
    """The same CSV again: the store has it, nothing is repeated."""


def measure(rows: int) -> Measured:
    with tempfile.TemporaryDirectory(prefix="dubline-") as name:
        folder = Path(name)
        csv = folder / "jobs.csv"
        csv.write_text(table(rows))
        with LocalStack.start(
            folder / "stack", workers=0, feeder=False, flower=False, settings=Settings()
        ) as stack:
            environment = os.environ | variables(stack.settings)
            seconds, peak = submit(csv, environment)
            again, _ = submit(csv, environment)
    return Measured(rows, round(seconds, 2), round(peak, 1), round(again, 2))


def table(rows: int) -> str:
    lines = (
        f"row-{number:06},s3://footage/season 1/face-{number:06}.mp4,s3://voices/de/line-{number:06}.wav,{number % 7}"
        for number in range(rows)
    )
    return "\n".join(["id,video,audio,bbox_shift", *lines])


def variables(settings: Settings) -> dict[str, str]:
    names = ("redis_url", "s3_endpoint", "s3_access_key", "s3_secret_key")
    values = {name: getattr(settings, name) for name in names}
    return {
        PREFIX + name.upper(): value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in values.items()
    }


def submit(csv: Path, environment: Mapping[str, str]) -> tuple[float, float]:
    """Seconds and peak MB of one `dubline submit`."""
    argv = [sys.executable, "-m", "producer.cli", "submit", str(csv), "--json"]
    started = time.monotonic()
    quiet = (os.POSIX_SPAWN_OPEN, sys.stdout.fileno(), os.devnull, os.O_WRONLY, 0)
    pid = os.posix_spawn(sys.executable, argv, environment, file_actions=[quiet])
    _, code, usage = os.wait4(pid, 0)
    if code:
        sys.exit(f"submit failed with status {code}")
    kib = usage.ru_maxrss / 1024 if sys.platform == "darwin" else usage.ru_maxrss
    return time.monotonic() - started, kib / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    measured = measure(options.rows)
    if options.json:
        print(json.dumps(asdict(measured)))
    else:
        print(f"{measured.rows:,} rows: {measured.seconds} s (limit {LIMIT_SECONDS:g}), ", end="")
        print(f"{measured.peak_rss_mb} MB peak (limit {LIMIT_MB:g}); again: {measured.resubmit_seconds} s")
    if measured.rows <= 100_000 and (measured.seconds > LIMIT_SECONDS or measured.peak_rss_mb > LIMIT_MB):
        sys.exit(1)


if __name__ == "__main__":
    main()
