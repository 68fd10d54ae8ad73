"""Setting up before the first job, so that no job waits for it.

A courtesy: the first job sets up what could not be set up here, meets the same trouble, and has it counted and named in
its manifest. A process that dies of it leaves a mark, and those after it do not try: else Celery would replace them for
ever, and none would reach a job.
"""

import logging
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir

from contract.errors import DublineError

logger = logging.getLogger(__name__)


def mark_of(worker: int, scratch: Path | None) -> Path:
    """Where processes of the worker with that id leave their mark; it goes when the worker starts anew.

    Containers that share a scratch volume have the same ids, and names of their own.
    """
    name = f"dubline-setting-up-{platform.node()}-{worker}"
    return (scratch.expanduser() if scratch else Path(gettempdir())) / name


def ahead(set_up: Callable[[], object], mark: Path) -> None:
    """Call it, unless an earlier process died while it did. Errors of ours are logged, others raised."""
    if mark.exists():
        logger.error(
            "an earlier process of this worker died while it set up; this one does so with its first job"
        )
        return
    began = time.monotonic()
    try:
        with _left(mark):
            set_up()
    except (DublineError, OSError) as error:
        logger.warning("not set up ahead of the first job: %s", error)
    else:
        logger.info("set up ahead of the first job, in %.1f s", time.monotonic() - began)


@contextmanager
def _left(mark: Path) -> Iterator[None]:
    """The mark is there for the length of the block, and for good where the process dies in it."""
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)
