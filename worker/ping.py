"""Does the worker of this container answer? Its health check: `python -m worker.ping`, exit code 0 or 1.

Celery's parent answers, also while its child is at work; it is asked over the broker, so that yes means: it hears of jobs.
"""

import platform
import sys

from contract.broker import Control
from contract.errors import DublineError
from contract.settings import Settings


def main() -> None:
    """Ask the worker that the image's entry point starts."""
    name = f"worker@{platform.node()}"
    try:
        is_there = Control(Settings.read()).answers(name)
    except DublineError as error:
        sys.exit(f"error [{error.code}]: {error.message}")
    if not is_there:
        sys.exit(f"{name} does not answer")


if __name__ == "__main__":
    main()
