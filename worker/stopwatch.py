"""Seconds per stage, for the manifest."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Sums the wall clock per stage. Each stage belongs to one thread."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the block's wall clock to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - started

    def seconds(self) -> dict[str, float]:
        """Seconds per stage, to the millisecond, in the order in which the stages first ran."""
        return {name: round(seconds, 3) for name, seconds in self._seconds.items()}
