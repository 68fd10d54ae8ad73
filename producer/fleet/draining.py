"""How a worker goes without a job lost: it takes no more, ends the one at hand, and is stopped when it holds none.

Three steps, each of which may be the last of this process: that it goes is noted on its container, and it is told to stop
consuming, at each look anew; then it is left to work; then, idle on the roster for two looks and holding no message by its own word, it is
stopped. A worker that is still starting is told when it is there; one that for half a minute neither answers nor is on
the roster is stopped all the same. Should it have a job in that moment, its grace period hands the job back.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from producer.fleet.crew import Hand

LOOK_SECONDS = 2.0
"""Between two looks of a fleet."""
SILENT_SECONDS = 35.0
"""After an outage of Redis, a busy worker's parent is back in 30 s at most, its child on the roster in a few."""


class Control(Protocol):
    """What is asked of workers: `contract.broker.Control`."""

    def stop_consuming(self, names: Collection[str]) -> frozenset[str]:
        """Have workers take no more messages; those that answered."""

    def held(self, names: Collection[str]) -> Mapping[str, int]:
        """Messages that each holds; a worker that does not answer is left out."""


class Draining:
    """Tells workers to take no more, and knows which may be stopped."""

    def __init__(self, control: Control, clock: Callable[[], float] = time.monotonic) -> None:
        self._control = control
        self._clock = clock
        self._silent_since: dict[str, float] = {}

    def tell(self, marked: Sequence[Hand]) -> None:
        """Tell workers to take no more jobs; who does not hear it now is told at each look."""
        self._control.stop_consuming([each.container.node for each in marked])

    def done(self, draining: Sequence[Hand]) -> list[Hand]:
        """Those of the marked workers that hold no job and will take none."""
        # Said again: a worker that was starting when it was marked, or marked by a fleet that was killed, heard nothing of it.
        heard = self._control.stop_consuming([each.container.node for each in draining])
        held = self._control.held([each.container.node for each in draining if each.container.node in heard])
        self._note_silence(each.container.node for each in draining if each.container.node not in held)
        return [each for each in draining if self._may_stop(each, held)]

    def begin_anew(self) -> None:
        """Redis was away: nobody could be heard, so that who was silent before is no more so than the others."""
        self._silent_since = {}

    def _note_silence(self, names: Iterable[str]) -> None:
        now = self._clock()
        self._silent_since = {name: self._silent_since.get(name, now) for name in names}

    def _may_stop(self, hand: Hand, held: Mapping[str, int]) -> bool:
        """By two witnesses: its own word, and the roster, as long as it is on it."""
        name, worker = hand.container.node, hand.worker
        if name not in held:
            return worker is None and self._clock() - self._silent_since[name] >= SILENT_SECONDS
        rests = worker is None or (worker.doing == "idle" and worker.since_seconds >= LOOK_SECONDS)
        return rests and held[name] == 0
