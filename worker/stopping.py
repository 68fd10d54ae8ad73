"""How a worker stops on SIGTERM: no new jobs; the running one may end within the grace period, else it is given back.

Celery's own warm shutdown takes no more messages and waits for the running job, however long it is. Here its child
is told to stop when the grace period is over (SIGUSR2), gives the job back to the ledger, and the shutdown goes on.
A child that does not listen is ended.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

logger = logging.getLogger(__name__)

STOP_SIGNAL = signal.SIGUSR2
LAST_SECONDS = 15.0
"""From the signal until a child is killed: it may take a while to give its job back."""


class GracePeriod:
    """Runs once from `begin` on, in a thread that is there beforehand: a signal handler had better start none."""

    def __init__(self, seconds: float, children: Callable[[], Iterable[int]]) -> None:
        self._seconds = seconds
        self._children = children
        self._has_begun = threading.Event()

    def prepare(self, on_begin: Callable[[], None] = lambda: None) -> None:
        """Wait for `begin`; `on_begin` is called then, in a thread of its own: it may take as long as it likes."""
        threading.Thread(target=self._run, name="grace-period", args=(on_begin,), daemon=True).start()

    def begin(self) -> None:
        """The worker was told to stop. Safe in a signal handler."""
        self._has_begun.set()

    def _run(self, on_begin: Callable[[], None]) -> None:
        self._has_begun.wait()
        threading.Thread(target=on_begin, name="last-notice", daemon=True).start()
        for seconds, number in ((self._seconds, STOP_SIGNAL), (LAST_SECONDS, signal.SIGKILL)):
            threading.Event().wait(seconds)
            for child in self._children():
                with suppress(ProcessLookupError):
                    os.kill(child, number)
