"""The composition root of a worker: `celery -A worker.app worker`.

The parent process takes messages and imports nothing heavy; the child that runs jobs is spawned and does.
"""

import functools
import logging
import sys
from typing import TYPE_CHECKING, Any

from celery import Task, signals

from contract.broker import TASK, delivery_tag, make_app
from contract.errors import DublineError, EngineFailed
from contract.job import Delivery
from contract.ledger import Ledger
from contract.settings import Settings
from contract.storage import Storage
from worker import logs, weights
from worker.progress import JobProgress
from worker.tasks import Findings, JobRunner, Ticket
from worker.tryout import import_all, try_out

if TYPE_CHECKING:
    from worker.attempt import Workshop

logger = logging.getLogger(__name__)

settings = Settings.read()
app = make_app(settings)


@app.task(name=TASK, bind=True)
def render(self: Task, delivery: dict[str, Any]) -> str:
    """Run one delivery to its end; the return value is for Flower alone."""
    outcome = child().runner.run(Delivery.model_validate(delivery), delivery_tag(self.request))
    if child().is_spent:
        logger.warning("this process ends, and a new one takes the next job: the engine failed in it")
        raise SystemExit(1)  # Celery replaces the process and delivers again; what was committed stands
    return outcome


class Child:
    """The process that runs jobs. It imports and sets up what is heavy at its first job."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._storage = Storage(settings)
        self.runner = JobRunner(settings, self._storage, Ledger(settings), self.perform)
        self.is_spent = False
        """After a failure of the engine: a CUDA error, for one, stays for as long as its process."""

    def perform(self, ticket: Ticket, progress: JobProgress, findings: Findings) -> None:
        """One attempt. Raises the errors of contract.errors."""
        try:
            self.workshop.perform(ticket, progress, findings)
        except Exception as error:
            self.is_spent = isinstance(error, EngineFailed) or not isinstance(error, DublineError)
            raise

    @functools.cached_property
    def workshop(self) -> "Workshop":
        """Raises ConfigurationError where it cannot be imported: the job is handed back, and the log says why."""
        import_all(self._settings.engine, self._settings.weights)
        from worker.attempt import Workshop
        from worker.setup import Toolbox

        return Workshop(self._settings, self._storage, Toolbox(self._settings, self._storage))


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
