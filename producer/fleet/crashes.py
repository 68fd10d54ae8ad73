"""Workers that end by themselves: when their slot is tried again, and what is said of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from producer.fleet.host import Container, Slot

QUICK_SECONDS = 60.0
"""A container that ended sooner than this after its start died, whatever its exit code."""
FIRST_SECONDS, LAST_SECONDS = 1.0, 300.0
"""The first wait, doubled with every death that follows, up to the last."""
LOOP_DEATHS = 3
"""So many quick deaths in a row are a crash loop: said once, with the end of the log."""


def backoff_seconds(deaths: int) -> float:
    """How long a slot rests after so many quick deaths in a row; 0 after none."""
    if not deaths:
        return 0.0
    seconds: float = FIRST_SECONDS * 2 ** min(deaths - 1, 30)
    return min(seconds, LAST_SECONDS)


def deaths_of(container: Container) -> int:
    """Quick deaths in a row, with this container's end; one that lived well ends the row."""
    is_quick = container.exit is not None and container.exit.lived_seconds < QUICK_SECONDS
    return container.deaths + 1 if is_quick else 0


@dataclass(frozen=True)
class Rest:
    """A slot that waits."""

    deaths: int
    until: float
    """On the clock of this process."""


class Crashes:
    """Slots at rest. Counts lie on the containers themselves, as labels; only the waiting is remembered here."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: set[str] = set()
        self._rests: dict[Slot, Rest] = {}
        self._looping: set[Slot] = set()

    def note_end(self, slot: Slot, container: Container) -> bool:
        """Note a container that has ended; whether it was news."""
        if container.id in self._seen:
            return False
        self._seen.add(container.id)
        self._rest(slot, deaths_of(container))
        return True

    def note_refusal(self, slot: Slot) -> None:
        """Note that nothing could be started there."""
        self._rest(slot, self.deaths(slot) + 1)

    def note_well(self, slot: Slot, seconds: float) -> None:
        """Note that a worker of this slot has been at the same thing for so long; after a minute its death is news again."""
        if seconds >= QUICK_SECONDS:
            self._looping.discard(slot)

    def deaths(self, slot: Slot) -> int:
        """How many in a row, as far as was seen."""
        return self._rests[slot].deaths if slot in self._rests else 0

    def rest_seconds(self, slot: Slot) -> float:
        """How long nothing is to be started there; 0: at once."""
        return max(self._rests[slot].until - self._clock(), 0.0) if slot in self._rests else 0.0

    def begins_to_loop(self, slot: Slot) -> bool:
        """Whether it is a crash loop now, and has not been said."""
        if self.deaths(slot) < LOOP_DEATHS or slot in self._looping:
            return False
        self._looping.add(slot)
        return True

    def is_looping(self, slot: Slot) -> bool:
        """Whether it was said to be a crash loop, and no worker has been up since."""
        return slot in self._looping

    def _rest(self, slot: Slot, deaths: int) -> None:
        self._rests[slot] = Rest(deaths, self._clock() + backoff_seconds(deaths))
