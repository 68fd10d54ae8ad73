"""The composition root of a worker: `celery -A worker.app worker`.

The parent process takes messages and imports nothing heavy; the child that runs jobs is spawned and does.
"""

import functools
import logging
import sys
from typing import Any

from celery import Task, signals

from contract.broker import TASK, delivery_tag, make_app
from contract.errors import DublineError
from contract.job import Delivery
from contract.settings import Settings
from contract.storage import Storage
from worker import logs, weights
from worker.child import Child
from worker.tryout import try_out

logger = logging.getLogger(__name__)

settings = Settings.read()
app = make_app(settings)


@app.task(name=TASK, bind=True, shared=False)  # of this app alone, not of every app in the process
def render(self: Task, delivery: dict[str, Any]) -> str:
    """Run one delivery to its end; the return value is for Flower alone."""
    outcome = child().runner.run(Delivery.model_validate(delivery), delivery_tag(self.request))
    if child().is_spent:
        logger.warning("this process ends, and a new one takes the next job: the engine failed in it")
        raise SystemExit(1)  # Celery replaces the process and delivers again; what was committed stands
    return outcome


@functools.cache
def child() -> Child:
    """Of this process, made at its first job."""
    return Child(settings)


@signals.worker_init.connect
def refuse_early(**_: object) -> None:
    """Before the first message: jobs' imports and weights are here and the store keeps its promise, or the worker ends."""
    try:
        try_out(settings.engine, settings.weights)
        weights.provide(settings.engine, settings.weights)
        Storage(settings).check()
    except DublineError as error:
        sys.exit(f"error [{error.code}]: {error.message}")


@signals.setup_logging.connect
def set_up_logging(**_: object) -> None:
    """In the parent and in its child."""
    logs.log_plainly()
