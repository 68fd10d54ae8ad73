"""`python -m tests.chaos --seed 1 --jobs 1000`: a long run, and its verdict as the exit code."""

import argparse
import sys
import tempfile
from pathlib import Path

from contract.settings import Settings
from tests.chaos.run import Options, run


def say(line: str) -> None:
    """At once, also into a file."""
    print(line, flush=True)  # noqa: T201 - this is the command line


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--fault-seconds", type=float, default=3.0, help="between two faults, on average")
    parser.add_argument("--keep", type=Path, help="folder for history and logs, which stays")
    parser.add_argument("--json", type=Path, help="file for the report")
    given = parser.parse_args()
    options = Options(
        seed=given.seed, jobs=given.jobs, workers=given.workers, fault_seconds=given.fault_seconds
    )
    with tempfile.TemporaryDirectory(prefix="dubline-chaos-") as name:
        report = run(options, given.keep or Path(name), Settings(), say)
    say(str(report))
    if given.json:
        given.json.write_text(report.to_json() + "\n")
    return 0 if report.is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
