"""How far the job at hand is: written by the render, read by the heartbeat."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from contract.errors import DublineError
from contract.ledger import Progress, State


@dataclass
class JobProgress:
    """One job's progress. The render writes it; the heartbeat reads snapshots and may have the render stop."""

    state: State = "staging"
    frames: int = 0
    total: int = 0
    changed: float = field(default_factory=time.monotonic)
    """When something last moved, on the monotonic clock, in seconds."""
    on_change: Callable[[Progress], None] = lambda _: None
    """Told of every change, on the thread that renders."""
    revoked: DublineError | None = None
    """Why the render is to stop; None while it may go on."""
    revoked_at: float = 0.0
    """When it was told so, on the monotonic clock, in seconds."""
    _generating_since: float = 0.0
    _last_frame: float = 0.0
    _done: int = 0

    def enter(self, state: State, total: int = 0, done: int = 0) -> None:
        """Go on to the next state; of its `total` frames an earlier attempt has `done` some. Raises as `check`."""
        self.check()
        self.state = state
        self.changed = time.monotonic()
        if total:
            self.frames, self.total, self._done = done, total, done
            self._generating_since = self._last_frame = self.changed
        self.on_change(self.snapshot())

    def advance(self, frames: int = 1) -> None:
        """Count finished frames. Raises what `check` raises."""
        self.check()
        self.frames += frames
        self.changed = self._last_frame = time.monotonic()
        self.on_change(self.snapshot())

    def touch(self) -> None:
        """Something moved that is not counted: bytes of a transfer, a frame looked at once more. From any thread.

        Raises what `check` raises: a long transfer stops in its middle.
        """
        self.check()
        self.changed = time.monotonic()

    def revoke(self, reason: DublineError) -> None:
        """Make every further step of the render raise the reason; of several reasons the first counts."""
        if self.revoked is None:
            self.revoked_at = time.monotonic()
            self.revoked = reason

    def check(self) -> None:
        """Return while the render may go on.

        Raises:
            LeaseLost, Cancelled, Preempted, TimeLimit, Stalled: it is to stop, for that reason.
        """
        if self.revoked is not None:
            raise type(self.revoked)(self.revoked.message)  # a new one each time: several threads raise it

    def snapshot(self) -> Progress:
        """What the ledger shows."""
        seconds = self._last_frame - self._generating_since
        fps = (self.frames - self._done) / seconds if seconds > 0 else 0.0
        return Progress(self.state, self.frames, self.total, fps)
