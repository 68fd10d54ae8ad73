"""How good a video is: figures with their intervals and controls, or why there is none."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from contract.job import Boundary, JobOptions
from contract.manifest import InputRecord, WarningRecord, WeightRecord

Status = Literal["ok", "unavailable", "invalid"]
"""`unavailable`: weights, a library or something of the clip is missing. `invalid`: a control shows that it does not
work on this clip."""
Task = Literal["self audio", "cross audio"]
"""Whether the audio is the source's own. Figures of the two are never mixed."""
Verdict = Literal["in sync", "audio early", "audio late", "no sync found", "unknown"]

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
    weights: tuple[WeightRecord, ...] = ()
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


class Traces(Boundary):
    """What a report draws, one value a frame."""

    aperture: tuple[float | None, ...]
    source_aperture: tuple[float | None, ...]
    loudness: tuple[float, ...]


class Evaluation(Boundary):
    """All that was measured of one video."""

    schema_version: Literal[1] = 1
    made: datetime
    task: Task
    frames: int
    fps: int = 25
    source: InputRecord
    generated: InputRecord
    audio: InputRecord
    options: JobOptions
    """Those that say how the source plays, and whose face it is."""
    sync: Sync
    metrics: dict[str, Figure]
    warnings: tuple[WarningRecord, ...] = ()
    versions: dict[str, str] = Field(default_factory=dict)
    seconds: float
    """Wall clock of it all."""
    traces: Traces | None = None


INCONCLUSIVE = "inconclusive"


class Versus(Boundary):
    """One output against another by one figure."""

    output: str
    baseline: str
    difference: float | None
    """Of the values: output less baseline."""
    gain: float | None
    """The same, turned so that positive is better: of what should be near 1 or 0, how much nearer it came."""
    gain_ci95: tuple[float, float] | None
    p: float | None
    """Two-sided."""
    p_holm: float | None
    """Corrected for all figures of this pair."""
    improvement_pct: float | None
    """The gain in % of the baseline's value; None where that means nothing."""
    verdict: Literal["better", "worse", "inconclusive"]
    reason: str = ""
    """Why it is inconclusive."""
    n: int
    """Clips; frames where there is one clip."""


class Compared(Boundary):
    """All outputs by one figure."""

    title: str
    unit: str = ""
    better: str
    values: dict[str, float | None]
    """By output: of one clip the value, of many their mean."""
    noise: float
    """A gain below this means nothing: what encoding again does to the figure, or what is stated for it."""
    winner: str
    """The output that is better than every other one, or `inconclusive`."""
    improvement_pct: float | None
    """Of the winner over the baseline; of the other output where there are two."""
    versus: tuple[Versus, ...]
    """Every pair."""


class ComparedClip(Boundary):
    """One clip of a comparison: what was measured of each output."""

    id: str
    evaluations: dict[str, Evaluation]


class Comparison(Boundary):
    """Outputs of several systems for the same clips, set against each other."""

    schema_version: Literal[1] = 1
    made: datetime
    task: Task
    scope: Literal["within this clip", "over clips"]
    """What the intervals speak of."""
    outputs: tuple[str, ...]
    baseline: str
    clips: tuple[ComparedClip, ...]
    comparison: dict[str, Compared]
    seconds: float
