"""The composition root of a worker: `celery -A worker.app worker`.

The parent process takes messages and imports nothing heavy; the child that runs jobs is spawned and does.
"""

import functools
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from billiard import active_children, current_process
from celery import Task, signals

from contract import traces
from contract.broker import TASK, delivery_tag, job_named, make_app
from contract.errors import DublineError
from contract.metrics import ScratchMetrics
from contract.scrape import count_for_parent, counted_by_children, exposed
from contract.settings import Settings
from contract.storage import Storage
from contract.waiting import until_it_passes
from contract.workers import Roster
from worker import logs, scratch, weights
from worker.ahead import mark_of
from worker.child import Child
from worker.device import take_gpu
from worker.preempt import NoticePoller
from worker.presence import Presence
from worker.stopping import STOP_SIGNAL, GracePeriod
from worker.tryout import try_out

logger = logging.getLogger(__name__)

MEMORY = "/dev/shm"  # noqa: S108 - the folder made in it has a name of its own

settings = Settings.read_or_exit()
app = make_app(settings)
roster = Roster(settings)
exits = ExitStack()
grace = GracePeriod(settings.grace_seconds, lambda: [each.pid for each in active_children()])


@app.task(name=TASK, bind=True, shared=False)  # of this app alone, not of every app in the process
def render(self: Task, delivery: dict[str, Any]) -> str:
    """Run one delivery to its end; the return value is for Flower alone."""
    outcome = child().runner.receive(delivery, delivery_tag(self.request), job_named(self.request))
    if child().is_spent:
        logger.warning("this process ends, and a new one takes the next job: the engine failed in it")
        raise SystemExit(1)  # Celery replaces the process and delivers again; what was committed stands
    return outcome


@functools.cache
def child() -> Child:
    """Of this process; what is heavy is imported later (`begin_child`)."""
    return Child(settings)


@signals.worker_init.connect
def keep_memory_together(**_: object) -> None:
    """Have glibc give the child's threads two arenas, not eight a core: each keeps what its jobs freed.

    Measured with a hundred files through one process: 230 MB at the end as at the start, without it 259 and 287; and no
    job was slower.
    """
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")


@signals.worker_init.connect
def expose_metrics(**_: object) -> None:
    """In the parent, which outlives what counts: its children."""
    if settings.metrics_port is None:
        return
    # In memory where that can be: the files are mapped, and a page that a full disk cannot take kills who writes to it.
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="dubline-metrics-", dir=place)))
    sources = (counted_by_children(folder), ScratchMetrics(settings.scratch))
    try:
        exits.enter_context(exposed(settings, *sources))
    except DublineError as error:
        sys.exit(f"error [{error.code}]: {error.message}")


@signals.worker_init.connect
def refuse_early(**_: object) -> None:
    """Before the first message: jobs' imports and weights are here and the store keeps its promise, or the worker ends.

    A store that is away is waited for.
    """
    logs.begin(settings.log_format)
    try:
        traces.require(settings)
        scratch.require(settings.scratch)
        take_gpu(settings.gpu_locks)
        try_out(settings.engine, settings.weights, settings.encoder, require_gpu=settings.require_gpu)
        weights.provide(settings.engine, settings.weights)
        until_it_passes(Storage(settings).check)
    except DublineError as error:
        sys.exit(f"error [{error.code}]: {error.message}")


@signals.worker_init.connect
def watch_for_the_end(sender: Any, **_: object) -> None:
    """In the parent: be ready to stop and to say so, and ask EC2 whether that is near."""
    grace.prepare(lambda: note(roster.stopping, sender.hostname))
    if settings.spot_notices:
        NoticePoller(lambda: os.kill(os.getpid(), signal.SIGTERM)).start()


@signals.worker_shutting_down.connect
def begin_to_stop(how: str, **_: object) -> None:
    """In the parent's signal handler. A cold shutdown stops the child by itself."""
    if how == "Warm":
        grace.begin()


@signals.worker_init.connect
def begin_unmarked(**_: object) -> None:
    """Before the first child: what a worker with this one's id left behind says nothing about this one."""
    mark_of(os.getpid(), settings.scratch).unlink(missing_ok=True)


@signals.worker_process_init.connect
def begin_to_count(**_: object) -> None:
    """In the child, before it makes its metrics."""
    count_for_parent(current_process().index)
    child().runner.metrics.child_begins()


@signals.worker_process_init.connect
def begin_to_trace(**_: object) -> None:
    """In the child."""
    traces.begin(settings, "worker")


@signals.worker_process_shutdown.connect
def end_traces(**_: object) -> None:
    """In the child, when it ends by itself."""
    traces.end()


@signals.worker_process_init.connect
def begin_child(**_: object) -> None:
    """In the child: listen for what the parent sends when the grace period is over, and be warm for the first job."""
    runs = child()
    signal.signal(STOP_SIGNAL, lambda *_: runs.stop())
    runs.set_up_ahead(mark_of(os.getppid(), settings.scratch))


@signals.worker_process_init.connect
def be_seen(sender: str, **_: object) -> None:
    """In the child: tell what the worker of that name does."""
    Presence(sender, child().runner, settings).start()


@signals.worker_shutdown.connect
def leave_the_roster(sender: Any, **_: object) -> None:
    """In the parent, when its child is gone."""
    note(roster.leave, sender.hostname)
    exits.close()


def note(change: Callable[[str], None], name: str) -> None:
    """A change of the roster; without Redis it is for people alone, who see the worker fall silent soon."""
    try:
        change(name)
    except DublineError as error:
        logger.warning("nobody is told that this worker ends: %s", error)


@signals.setup_logging.connect
def set_up_logging(**_: object) -> None:
    """In the parent and in its child."""
    logs.begin(settings.log_format)
