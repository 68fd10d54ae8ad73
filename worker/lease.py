"""Holding a job: the heartbeat that renews the lease while there is progress, and gives up when it is another's."""

import logging
import threading
import time
from contextvars import copy_context
from types import TracebackType

from contract.errors import BrokerUnavailable
from contract.ledger import Hold, Ledger
from worker.progress import JobProgress

logger = logging.getLogger(__name__)

STALL_SECONDS = 600.0
"""Without progress for this long the lease is left to expire: a hung job must not be held for ever."""


class Heartbeat:
    """Beats a job's lease from a thread of its own for the length of a `with` block.

    Redis being away is no reason to stop: the commit in S3 is the fence, the lease only saves double work.
    """

    def __init__(self, ledger: Ledger, job: str, owner: str, lease_seconds: float, delivery_tag: str) -> None:
        self.progress = JobProgress()
        self._ledger = ledger
        self._job, self._owner, self._delivery_tag = job, owner, delivery_tag
        self._lease_seconds = lease_seconds
        self._over = threading.Event()
        run_here = copy_context().run  # so that the thread's log lines name the job, too
        self._thread = threading.Thread(target=run_here, args=(self._run,), name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        away = False
        while not self._over.wait(min(1.0, self._lease_seconds / 5)):
            if time.monotonic() - self.progress.changed > STALL_SECONDS:
                continue
            try:
                held = self._beat() != "lost"
            except BrokerUnavailable as error:
                if not away:
                    logger.warning("the heartbeat waits: %s", error)
                away = True
                continue
            away = False
            if not held:
                self.progress.revoke()
                return

    def _beat(self) -> Hold:
        return self._ledger.beat(
            self._job, self._owner, self._lease_seconds, self._delivery_tag, self.progress.snapshot()
        )
