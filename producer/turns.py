"""Whose row is next: priorities by their weight, and the batches of one priority one after the other."""

from collections import deque
from collections.abc import Callable
from typing import get_args

from contract.job import Priority, Row
from producer.openbatch import OpenBatch

CYCLE: tuple[Priority, ...] = ("high", "normal", "high", "low", "high", "normal", "high")
"""Of seven rows four are of high priority, two of normal and one of low, as long as there are rows of each."""

Take = Callable[[OpenBatch, Priority], Row | None]
"""The next row of a batch and a priority; None where there is none now."""


class Turns:
    """Hands out rows of any number of batches so that none of them waits for the end of another."""

    def __init__(self) -> None:
        self._place = 0
        self._lines: dict[Priority, deque[OpenBatch]] = {each: deque() for each in get_args(Priority)}

    def join(self, batch: OpenBatch) -> None:
        """Let a batch take part; it is served after those that wait already."""
        for line in self._lines.values():
            line.append(batch)

    def leave(self, batch: OpenBatch) -> None:
        """Let a batch take part no more."""
        for line in self._lines.values():
            line.remove(batch)

    def next(self, take: Take) -> tuple[OpenBatch, Row] | None:
        """The next row and its batch, or None when no batch has one; a priority without rows gives its turn to the next."""
        for ahead in range(len(CYCLE)):
            place = (self._place + ahead) % len(CYCLE)
            if found := self._next_of(CYCLE[place], take):
                self._place = (place + 1) % len(CYCLE)
                return found
        return None

    def _next_of(self, priority: Priority, take: Take) -> tuple[OpenBatch, Row] | None:
        line = self._lines[priority]
        for _ in range(len(line)):
            batch = line[0]
            line.rotate(-1)
            if row := take(batch, priority):
                return batch, row
        return None
