"""Does the worker of this container answer? Its health check: `python -m worker.ping`, exit code 0 or 1.

Celery's parent answers, also while its child is at work; it is asked over the broker, so that yes means: it hears of jobs.
"""

import platform
import sys

from contract.broker import answers, make_app
from contract.settings import Settings


def main() -> None:
    """Ask the worker that the image's entry point starts."""
    node = f"worker@{platform.node()}"
    if not answers(make_app(Settings.read()), node):
        sys.exit(f"{node} does not answer")


if __name__ == "__main__":
    main()
