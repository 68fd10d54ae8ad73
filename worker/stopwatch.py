"""Seconds per stage, for the manifest and for traces."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Spell:
    """From when until when a stage ran, with pauses, in nanoseconds since 1970; `seconds` are those in it."""

    stage: str
    began_ns: int
    ended_ns: int
    seconds: float


class Stopwatch:
    """Sums the wall clock per stage. Each stage belongs to one thread."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._began: dict[str, int] = {}
        self._ended: dict[str, int] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the block's wall clock to a stage."""
        started = time.perf_counter()
        self._began.setdefault(name, time.time_ns())
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - started
            self._ended[name] = time.time_ns()

    def seconds(self) -> dict[str, float]:
        """Seconds per stage, to the millisecond, in the order in which the stages first ran."""
        return {name: round(seconds, 3) for name, seconds in self._seconds.items()}

    def spells(self) -> list[Spell]:
        """Each stage that has run, from its first beginning to its last end."""
        return [
            Spell(name, self._began[name], self._ended[name], seconds)
            for name, seconds in self.seconds().items()
        ]
