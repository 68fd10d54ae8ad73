"""The process that runs jobs, and when it should be replaced."""

import ctypes
import functools
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from contract.errors import DublineError, EngineFailed
from contract.ledger import Ledger
from contract.manifest import Findings
from contract.settings import Settings
from contract.storage import Storage
from worker.ahead import ahead
from worker.engines import SMALL
from worker.progress import JobProgress
from worker.tasks import JobRunner, Ticket
from worker.tryout import import_all

if TYPE_CHECKING:
    from worker.attempt import Workshop


class Child:
    """The process that runs jobs. It imports and sets up what is heavy at its first job, or ahead of it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._storage = Storage(settings)
        self.runner = JobRunner(settings, self._storage, Ledger(settings), self.perform)
        self.is_spent = False
        """After a failure of the engine: a CUDA error, for one, stays for as long as its process."""

    def stop(self) -> None:
        """Have the job at hand given back at its next step. Safe in a signal handler."""
        self.runner.stop()

    def set_up_ahead(self, mark: Path) -> None:
        """Have the settings' engine warm before the first job, where that takes long (`ahead`)."""
        engine = self._settings.engine
        if engine not in SMALL:
            ahead(lambda: self.workshop.tools(engine), mark)

    def perform(self, ticket: Ticket, progress: JobProgress, findings: Findings) -> None:
        """One attempt. Raises the errors of contract.errors."""
        try:
            self.workshop.perform(ticket, progress, findings)
        except Exception as error:
            self.is_spent = isinstance(error, EngineFailed) or not isinstance(error, DublineError)
            raise
        finally:
            return_memory()

    @functools.cached_property
    def workshop(self) -> "Workshop":
        """Raises ConfigurationError where it cannot be imported: the job is handed back, and the log says why."""
        import_all(self._settings.engine, self._settings.weights)
        from worker.attempt import Workshop
        from worker.setup import Toolbox

        return Workshop(self._settings, self._storage, Toolbox(self._settings, self._storage))


def return_memory() -> None:
    """Give back what is free: glibc keeps it in an arena for each thread, and the threads of each job leave some.

    Measured with one pair again and again: 223 MB after the first job and 307 after the seventh, with this 209 to 230.
    """
    with suppress(OSError, AttributeError):  # other C libraries have no such thing, or do it themselves
        ctypes.CDLL(None).malloc_trim(0)
