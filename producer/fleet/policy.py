"""How many workers there should be, and which of them go: a pure function of what was seen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["starting", "idle", "busy", "leaving"]


@dataclass(frozen=True)
class Rules:
    """What a person asks for."""

    minimum: int
    maximum: int
    within_seconds: float
    """So soon all that is to be done should be done."""
    idle_seconds: float
    """A worker without a job for so long goes."""
    patience_seconds: float
    """When a job has waited for so long one more worker comes, and the next one only after as long again."""


@dataclass(frozen=True)
class Load:
    """What there is to do."""

    jobs: int
    """Not ended: those that wait and those at work."""
    oldest_seconds: float | None
    """For how long the oldest message of the queue has waited; None where none waits."""
    seconds_per_job: float
    """Of one worker."""
    assumed: bool = False
    """No job has been seen yet: seconds_per_job is an assumption."""
    jobs_per_hour: float = 0.0
    """Ended lately, of all workers together."""
    others: int = 0
    """Workers of the same queue that are not this fleet's."""
    batches: int | None = None
    """Open; None where no feeder says so."""


@dataclass(frozen=True)
class Member:
    """One worker of the fleet."""

    name: str
    state: State
    since_seconds: float = 0.0
    """For how long it has been idle, or at its job."""


@dataclass(frozen=True)
class Decision:
    """What to do now."""

    start: int = 0
    drain: tuple[str, ...] = ()
    """Names of members, each to end its job, if it has one, and go."""


def decide(
    rules: Rules, load: Load, members: Sequence[Member], free: int, since_start_seconds: float
) -> Decision:
    """Workers to start in the `free` slots, or to drain. Never both, and those that leave already count no more.

    `since_start_seconds`: for how long this fleet has started nobody.
    """
    staying = [each for each in members if each.state != "leaving"]
    if len(staying) > rules.maximum:
        return Decision(drain=_least_missed(staying, len(staying) - rules.maximum))
    wanted = wanted_workers(rules, load)
    if len(staying) >= wanted and _is_impatient(rules, load, staying, since_start_seconds):
        wanted = min(len(staying) + 1, rules.maximum)
    if len(staying) < wanted:
        return Decision(start=min(wanted - len(staying), free))
    return Decision(drain=_idle_too_long(rules, staying, len(staying) - wanted))


def wanted_workers(rules: Rules, load: Load) -> int:
    """So many do all there is to do within the time, at least one while there is anything, and never more than jobs."""
    needed = math.ceil(load.jobs * load.seconds_per_job / rules.within_seconds)
    needed = min(max(needed, 1), load.jobs) - load.others
    return min(max(needed, rules.minimum), rules.maximum)


def done_in_seconds(load: Load, workers: int) -> float | None:
    """When so many workers will have done all there is to do; None without any."""
    if not load.jobs:
        return 0.0
    return load.jobs * load.seconds_per_job / workers if workers else None


def _is_impatient(rules: Rules, load: Load, staying: Sequence[Member], since_start_seconds: float) -> bool:
    """A job waits too long, and nobody who is free or on the way will take it."""
    waits = load.oldest_seconds is not None and load.oldest_seconds > rules.patience_seconds
    nobody_comes = all(each.state == "busy" for each in staying)
    is_of_use = len(staying) + load.others < load.jobs
    return waits and nobody_comes and is_of_use and since_start_seconds >= rules.patience_seconds


def _least_missed(staying: Sequence[Member], count: int) -> tuple[str, ...]:
    """First those that have no job, then those that began theirs last."""
    order = {"starting": 0, "idle": 1, "busy": 2}
    leaving = sorted(staying, key=lambda each: (order[each.state], each.since_seconds))
    return tuple(each.name for each in leaving[:count])


def _idle_too_long(rules: Rules, staying: Sequence[Member], surplus: int) -> tuple[str, ...]:
    idle = [each for each in staying if each.state == "idle" and each.since_seconds >= rules.idle_seconds]
    longest = sorted(idle, key=lambda each: -each.since_seconds)
    return tuple(each.name for each in longest[: max(surplus, 0)])
