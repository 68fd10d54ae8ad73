"""How far the job at hand is: written by the render, read by the heartbeat."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from contract.errors import LeaseLost
from contract.ledger import Progress, State


@dataclass
class JobProgress:
    """One job's progress. The render writes it; the heartbeat reads snapshots and may revoke the lease."""

    state: State = "staging"
    frames: int = 0
    total: int = 0
    changed: float = field(default_factory=time.monotonic)
    """When something last moved, on the monotonic clock, in seconds."""
    on_change: Callable[[Progress], None] = lambda _: None
    """Told of every change, on the thread that renders."""
    _generating_since: float = 0.0
    _last_frame: float = 0.0
    _revoked: bool = False

    def enter(self, state: State, total: int = 0) -> None:
        """Go on to the next state; `total` is the number of frames to come.

        Raises:
            LeaseLost: the job is another worker's by now.
        """
        self._check()
        self.state = state
        self.changed = time.monotonic()
        if total:
            self.frames, self.total = 0, total
            self._generating_since = self._last_frame = self.changed
        self.on_change(self.snapshot())

    def advance(self, frames: int = 1) -> None:
        """Count finished frames. Raises LeaseLost as `enter` does."""
        self._check()
        self.frames += frames
        self.changed = self._last_frame = time.monotonic()
        self.on_change(self.snapshot())

    def touch(self) -> None:
        """Something moved that is not counted: bytes of a transfer, a frame looked at once more. From any thread."""
        self.changed = time.monotonic()

    def revoke(self) -> None:
        """Make the next step of the render raise LeaseLost."""
        self._revoked = True

    def snapshot(self) -> Progress:
        """What the ledger shows."""
        seconds = self._last_frame - self._generating_since
        fps = self.frames / seconds if self.frames and seconds > 0 else 0.0
        return Progress(self.state, self.frames, self.total, fps)

    def _check(self) -> None:
        if self._revoked:
            raise LeaseLost("another worker holds this job now; this attempt stops before its commit")
