"""What one run says of itself."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from tests.chaos.checker import Found, Wrong
from tests.chaos.history import Event


@dataclass(frozen=True)
class Report:
    """Figures and verdict of a run."""

    seed: int
    jobs: int
    workers: int
    seconds: float
    """Until every job had ended, or until the run was given up."""
    statuses: Mapping[str, int]
    """Manifests at the end."""
    faults: Mapping[str, int]
    """Of processes and of the whole store."""
    requests: Mapping[str, int]
    """To the store, and what became of them on the way."""
    bodies: int
    """Attempts whose body began ..."""
    again: int
    """... and of those, begun after a manifest of the job had been seen."""
    lost_races: int
    """Attempts that came to commit and found another's manifest."""
    wrong: Sequence[Wrong]
    left_alive: Sequence[str]
    """Processes that outlived the run."""

    @property
    def is_fine(self) -> bool:
        """Nothing is wrong and nothing is left."""
        return not self.wrong and not self.left_alive

    def to_json(self) -> str:
        """For machines."""
        return json.dumps(asdict(self), indent=1)

    def __str__(self) -> str:
        """For people."""
        ended = ", ".join(f"{count} {status}" for status, count in sorted(self.statuses.items()))
        lines = [
            f"seed {self.seed}: {self.jobs} jobs, {self.workers} workers, {self.seconds:.0f} s: {ended}",
            f"  faults: {_listed(self.faults)}",
            f"  store: {_listed(self.requests)}",
            f"  {self.bodies} bodies begun, {self.again} after the commit was seen, {self.lost_races} lost races",
            *(f"  WRONG: {each}" for each in self.wrong),
            *(f"  LEFT ALIVE: {each}" for each in self.left_alive),
            "  fine" if self.is_fine else f"  {_listed(Counter(each.kind for each in self.wrong))}",
        ]
        return "\n".join(lines)


def count_attempts(history: Sequence[Event]) -> tuple[int, int, int]:
    """Bodies begun; those begun after the job's manifest was seen; attempts that lost the race for the commit."""
    seen: set[str] = set()
    bodies = again = 0
    for each in history:
        if each.what == "stands":
            seen.add(each.job)
        if each.what == "began":
            bodies += 1
            again += each.job in seen
    return bodies, again, _lost_races(history)


def _lost_races(history: Sequence[Event]) -> int:
    """Bodies that ended well, of jobs in which another attempt stands."""
    stands = {each.job: each.attempt for each in history if each.what == "stands"}
    done = [each for each in history if each.what == "ended" and each.status == "done"]
    return sum(stands.get(each.job, each.attempt) != each.attempt for each in done)


def statuses(found: Sequence[Found]) -> dict[str, int]:
    """How many ended how."""
    return dict(Counter(each.status for each in found))


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()) if count) or "none"
