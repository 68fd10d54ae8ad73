"""Holding a job: the heartbeat that renews the lease while there is progress, and ends an attempt that must not go on."""

import logging
import os
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from types import TracebackType

from contract.errors import (
    BrokerUnavailable,
    Cancelled,
    DublineError,
    LeaseLost,
    Preempted,
    Stalled,
    TimeLimit,
)
from contract.ledger import Claim, Ledger
from worker.progress import JobProgress

logger = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
STALL_SECONDS = 600.0
"""Without progress for this long an attempt is ended: a hung job must not be held for ever."""
STOP_SECONDS = 2.5
"""A render that was told to stop and has not after this long is ended with its process. A second until it is told, one more
until that is looked at, and the commit: together under the 5 s within which a cancelled job stops."""
HAND_BACK_SECONDS = 10.0
"""One whose worker is being stopped has this long: finished segments are still uploaded. Its parent waits a little longer."""
LAST_WORDS_SECONDS = 20.0
"""Most that a process that is to end takes to give its job back: less than a lease, for nobody beats meanwhile."""

GONE = LeaseLost("another worker holds this job now; this attempt stops before its commit")
CANCELLED = Cancelled("a person cancelled the job while it was running")


@dataclass(frozen=True)
class Lease:
    """One claim of one job, and how it is renewed."""

    ledger: Ledger
    job: str
    owner: str
    seconds: float
    delivery_tag: str
    claim: Claim

    def beat(self, progress: JobProgress) -> None:
        """Renew it; where the job is another's or was cancelled, tell the render to stop. Raises BrokerUnavailable."""
        snapshot = progress.snapshot()
        answer = self.ledger.beat(self.job, self.owner, self.seconds, self.delivery_tag, snapshot, self.claim)
        if answer == "lost":
            progress.revoke(GONE)
        if answer == "cancelled":
            progress.revoke(CANCELLED)


class Heartbeat:
    """Beats a lease from a thread of its own for the length of a `with` block, and watches the clock.

    Redis being away is no reason to stop: the commit in S3 is the fence, the lease only saves double work. A render
    that hangs, in a decoder or a driver, is not stopped by an exception: then `last_words` are called with the reason,
    in this thread, and the process ends. Celery replaces it.
    """

    def __init__(
        self,
        lease: Lease,
        limit_seconds: float,
        last_words: Callable[[DublineError], object],
    ) -> None:
        self.progress = JobProgress()
        self._lease = lease
        self._limit_seconds = limit_seconds
        self._last_words = last_words
        self._began = time.monotonic()
        self._is_settling = False
        self._is_away = False
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

    @property
    def time_is_up(self) -> bool:
        """Whether the attempt has taken as long as it may, to within a second."""
        return time.monotonic() - self._began > self._limit_seconds - 1.0

    def settle(self) -> None:
        """The render is over: from here on the lease is kept, and nothing else is watched."""
        self._is_settling = True

    def confirm(self) -> None:
        """Return if the job is this attempt's right now, or if nobody can say: then the commit decides.

        What is done is done: being out of time, or stopped, comes too late to matter.

        Raises:
            LeaseLost, Cancelled: the job is another's, or is not wanted any more.
        """
        self._beat()
        if isinstance(self.progress.revoked, LeaseLost | Cancelled):
            self.progress.check()

    def check_held(self) -> None:
        """Return unless the job is known to be another's. Raises LeaseLost."""
        if isinstance(self.progress.revoked, LeaseLost):
            self.progress.check()

    def _run(self) -> None:
        while not self._over.wait(min(BEAT_SECONDS, self._lease.seconds / 5)):
            if not isinstance(self.progress.revoked, LeaseLost):
                self._beat()
            if not self._is_settling:
                self._watch()

    def _beat(self) -> None:
        try:
            self._lease.beat(self.progress)
        except BrokerUnavailable as error:
            if not self._is_away:
                logger.warning("the heartbeat waits: %s", error)
            self._is_away = True
        else:
            self._is_away = False

    def _watch(self) -> None:
        now = time.monotonic()
        if now - self._began > self._limit_seconds:
            self.progress.revoke(
                TimeLimit(f"the attempt took longer than {self._limit_seconds:g} s (time_limit_seconds)")
            )
        if now - self.progress.changed > STALL_SECONDS:
            self.progress.revoke(
                Stalled(f"nothing moved for {STALL_SECONDS:g} s while {self.progress.state}")
            )
        reason = self.progress.revoked
        patience = HAND_BACK_SECONDS if isinstance(reason, Preempted) else STOP_SECONDS
        if reason is not None and now - self.progress.revoked_at > patience:
            self._end(reason)

    def _end(self, reason: DublineError) -> None:
        logger.error("the render does not stop, so its process ends [%s]: %s", reason.code, reason)
        self._over.set()
        deadline = threading.Timer(LAST_WORDS_SECONDS, end_process)
        deadline.daemon = True
        deadline.start()
        try:
            self._last_words(reason)
        finally:
            deadline.cancel()
            end_process()


def end_process() -> None:
    """At once: no `finally`, no thread that is waited for."""
    os._exit(1)
