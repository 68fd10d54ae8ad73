"""The composition root of a worker: `celery -A worker.app worker`.

The parent process takes messages and imports nothing heavy; the child that runs jobs is spawned and does.
"""

import functools
import sys
from typing import Any

from celery import Task, signals

from contract.broker import TASK, delivery_tag, make_app
from contract.errors import DublineError
from contract.job import Delivery
from contract.ledger import Ledger
from contract.settings import Settings
from contract.storage import Storage
from worker import logs, weights
from worker.tasks import JobRunner

settings = Settings.read()
app = make_app(settings)


@app.task(name=TASK, bind=True)
def render(self: Task, delivery: dict[str, Any]) -> str:
    """Run one delivery to its end; the return value is for Flower alone."""
    return runner().run(Delivery.model_validate(delivery), delivery_tag(self.request))


@functools.cache
def runner() -> JobRunner:
    """This child's job runner, made at its first job."""
    from worker.attempt import Workshop  # heavy: in the child alone
    from worker.setup import set_up

    storage = Storage(settings)
    workshop = Workshop(settings, storage, functools.cache(functools.partial(set_up, settings)))
    return JobRunner(settings, storage, Ledger(settings), workshop.perform)


@signals.worker_init.connect
def refuse_early(**_: object) -> None:
    """Before the first message: the weights are here and the store keeps its promise, or the worker ends."""
    try:
        weights.fetch(weights.ENGINES[settings.engine], settings.weights)
        Storage(settings).check()
    except DublineError as error:
        sys.exit(f"error [{error.code}]: {error.message}")


@signals.setup_logging.connect
def set_up_logging(**_: object) -> None:
    """In the parent and in its child."""
    logs.log_plainly()
