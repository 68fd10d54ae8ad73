"""How good a video is, and which of several is better: what `dubline evaluate` and `compare` write."""

from datetime import datetime
from typing import Literal

from contract.figures import Figures, Task
from contract.job import Boundary, JobOptions
from contract.manifest import InputRecord, WarningRecord


class Traces(Boundary):
    """What a report draws, one value a frame."""

    aperture: tuple[float | None, ...]
    source_aperture: tuple[float | None, ...]
    loudness: tuple[float, ...]


class Evaluation(Figures):
    """The figures of one video, and of what it was made."""

    schema_version: Literal[1] = 1
    made: datetime
    source: InputRecord
    generated: InputRecord
    audio: InputRecord
    options: JobOptions
    """Those that say how the source plays, and whose face it is."""
    warnings: tuple[WarningRecord, ...] = ()
    traces: Traces | None = None


INCONCLUSIVE = "inconclusive"


class Versus(Boundary):
    """One output against another by one figure."""

    output: str
    baseline: str
    difference: float | None = None
    """Of the values: output less baseline."""
    gain: float | None = None
    """The same, turned so that positive is better: of what should be near 1 or 0, how much nearer it came."""
    gain_ci95: tuple[float, float] | None = None
    p: float | None = None
    """Two-sided."""
    p_holm: float | None = None
    """Corrected for all figures of this pair."""
    improvement_pct: float | None = None
    """The gain in % of the baseline's value; None where that means nothing."""
    verdict: Literal["better", "worse", "inconclusive"] = "inconclusive"
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
    evaluations: dict[str, Evaluation | Figures]


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
