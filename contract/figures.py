"""Figures of a video with their intervals and controls, or why there are none."""

from typing import Any, Literal

from pydantic import Field

from contract.job import Boundary, Sha256

Status = Literal["ok", "unavailable", "invalid"]
"""`unavailable`: weights, a library or something of the clip is missing. `invalid`: a control shows that it does not
work on this clip."""
Task = Literal["self audio", "cross audio"]
"""Whether the audio is the source's own. Figures of the two are never mixed."""
Verdict = Literal["in sync", "audio early", "audio late", "no sync found", "unknown"]

FRAME_MS = 40
BUDGET_FRAMES = 1
"""So many frames of 40 ms nobody sees."""


class Figure(Boundary):
    """One figure of one video."""

    title: str
    value: float | None
    unit: str = ""
    better: str
    """higher, lower, nearer 0, nearer 1; none of what only informs."""
    status: Status
    reason: str = ""
    """Why it is not ok; with the command that mends it where there is one."""
    n: int
    """Frames, windows or pairs that it rests on."""
    ci95: tuple[float, float] | None = None
    """95 % interval. It speaks of this clip only: blocks of its frames were resampled."""
    deviation: float | None = None
    controls: dict[str, float | None] = Field(default_factory=dict)
    """The same figure of: `real` (the source with its own audio), `floor` (the source, encoded again), `do_nothing` (the
    source under this audio), `shuffled` (audio from elsewhere), `moved_-7` ... `moved_7` (audio later by so many frames)."""
    weights: dict[str, Sha256] = Field(default_factory=dict)
    """SHA-256 of the weights that it was made with, by their names."""
    hint: str = ""
    about: dict[str, Any] = Field(default_factory=dict)


class Sync(Boundary):
    """Whether picture and sound go together, by the most trustworthy metric that works on the clip."""

    verdict: Verdict
    offset_frames: int | None = None
    """Of 40 ms; positive: the audio is early."""
    by: str | None = None
    """The figure that says so."""
    reason: str = ""

    @property
    def words(self) -> str:
        """The verdict as people say it."""
        if self.offset_frames is None or self.verdict == "in sync":
            return self.verdict
        frames = abs(self.offset_frames)
        return f"{self.verdict} by {frames} frames ({frames * FRAME_MS} ms)"


class Figures(Boundary):
    """All that was measured of one video."""

    task: Task
    frames: int
    fps: int = 25
    sync: Sync
    metrics: dict[str, Figure]
    versions: dict[str, str] = Field(default_factory=dict)
    seconds: float
    """Wall clock of it all."""
