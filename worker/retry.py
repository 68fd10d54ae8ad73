"""What follows an attempt that did not succeed: the one place that decides whether a job is tried again."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from contract.errors import (
    BrokerUnavailable,
    Cancelled,
    ConfigurationError,
    DiskFull,
    DublineError,
    EngineFailed,
    LeaseLost,
    Preempted,
    StoreUnavailable,
    TemporaryFailure,
    WorkerLost,
)
from contract.ledger import Claim, Counts
from contract.settings import Settings

Result = TypeVar("Result")

BACKOFF_SECONDS = 2.0
"""Full jitter below this, doubled with every attempt."""
TROUBLE_SECONDS = 300.0
"""Full jitter below the time that an outage has lasted so far, and below this."""
MISCONFIGURED_SECONDS = 60.0
"""A worker that cannot run jobs hands them back, not to be offered again for this long."""
IN_PLACE_SECONDS = 300.0
"""What a job has made is worth waiting for a store that is away so long, before it is given up."""
LONGEST_PAUSE_SECONDS = 20.0

FAULTS: tuple[tuple[type[DublineError], Counts | Literal["nobody's", "final"]], ...] = (
    (LeaseLost, "nobody's"),
    (Cancelled, "final"),
    (Preempted, "preempted"),
    (ConfigurationError, "none"),
    (StoreUnavailable, "infrastructure"),
    (BrokerUnavailable, "infrastructure"),
    (DiskFull, "infrastructure"),
    (TemporaryFailure, "job"),
    (DublineError, "final"),
)
"""Whose fault an error is; the first class that fits counts. `final`: nothing would be different the next time."""


@dataclass(frozen=True)
class Verdict:
    """What to do after an attempt."""

    action: Literal["end", "release", "stop"]
    """End the job with a manifest; give it back, to be tried again; or say nothing, for it is another's."""
    counts: Counts = "none"
    delay_seconds: float = 0.0


class RetryPolicy:
    """Decides from what went wrong and from what the ledger has counted. Waiting is full jitter: nobody comes in step."""

    def __init__(self, settings: Settings) -> None:
        self._attempts = settings.attempts
        self._lost_attempts = settings.lost_attempts
        self._infrastructure_seconds = settings.infrastructure_seconds

    def refusal(self, claim: Claim) -> DublineError | None:
        """Why a job is not even begun once more; None: it is."""
        if claim.lost >= self._lost_attempts:
            return WorkerLost(
                f"{claim.lost} attempts ended without a word: the job ends its workers, or they were cut off"
            )
        if claim.attempts >= self._attempts:
            return EngineFailed(f"{claim.attempts} attempts failed; their logs say why")
        return None

    def verdict(self, error: DublineError, claim: Claim, *, can_end: bool = True) -> Verdict:
        """What follows an attempt, begun by that claim, that ended in the error; without `can_end` it is tried again."""
        fault = next(fault for kind, fault in FAULTS if isinstance(error, kind))
        if fault == "nobody's":
            return Verdict("stop")
        if can_end and (fault == "final" or self._is_spent(fault, claim)):
            return Verdict("end")
        if fault == "final":
            fault = "none"
        return Verdict("release", fault, self._delay(fault, claim))

    def _is_spent(self, fault: Counts, claim: Claim) -> bool:
        if fault == "job":
            return claim.attempts + 1 >= self._attempts
        return fault == "infrastructure" and claim.trouble_seconds >= self._infrastructure_seconds

    def _delay(self, fault: Counts, claim: Claim) -> float:
        ceiling = {
            "job": BACKOFF_SECONDS * 2 ** (claim.attempts + 1),
            "infrastructure": min(max(BACKOFF_SECONDS, claim.trouble_seconds), TROUBLE_SECONDS),
        }
        if fault == "none":
            return MISCONFIGURED_SECONDS
        return random.uniform(0, ceiling.get(fault, 0.0))  # noqa: S311 - jitter, not a secret


def in_place(action: Callable[[], Result], check: Callable[[], None]) -> Result:
    """The action's result, repeated with growing pauses while the store is away, for IN_PLACE_SECONDS at most.

    `check` is called before each repetition and may raise.

    Raises:
        StoreUnavailable: it was away for all that time.
    """
    began, ceiling = time.monotonic(), 1.0
    while True:
        try:
            return action()
        except StoreUnavailable:
            pause = random.uniform(0, ceiling)  # noqa: S311 - jitter, not a secret
            if time.monotonic() - began + pause > IN_PLACE_SECONDS:
                raise
        time.sleep(pause)
        check()
        ceiling = min(2 * ceiling, LONGEST_PAUSE_SECONDS)
