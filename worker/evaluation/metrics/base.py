"""The port of every metric: `load` once, a `Meter` for each video, `see` every frame, then `readings` for any audio.

    load(weights folder) ─► Metric ─► meter() ─► see(View), see(View), ... ─► readings(Sound) ─► {quantity: Reading}

A meter keeps what it needs of the pictures, so that the same pictures can be judged with another audio for the price
of the audio: that is how controls are made.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from worker.faces.face import Face
from worker.media.frame import Frame

Better = Literal["higher", "lower", "nearer 1", "nearer 0", "none"]
"""Which of two values is the better one; "none" of a figure that only informs."""
Samples = NDArray[np.float64]
"""(n, k) float64: a row for each frame or window of the video, in order. NaN where there was nothing to measure."""


@dataclass(frozen=True)
class Quantity:
    """One figure that a metric gives."""

    name: str
    """As in JSON: lower case and underscores."""
    title: str
    """As people call it."""
    better: Better
    unit: str = ""
    smallest: float = 0.0
    """A smaller difference than this means nothing, whatever the statistics say."""
    perfect: float | None = None
    """Of the source itself; None where it has no end, or depends on the audio."""
    needs_self_audio: bool = False
    """Whether it compares with the source's mouth, which says the same only where the audio is the source's own."""
    hint: str = ""
    """How to read it, with the data set that a number comes from."""


def goodness(value: float, better: Better) -> float:
    """The value turned so that more is better."""
    match better:
        case "lower":
            return -value
        case "nearer 1":
            return -abs(value - 1)
        case "nearer 0":
            return -abs(value)
    return value


@dataclass(frozen=True)
class View:
    """One frame of the video that is judged, beside the frame of the source that it was made from.

    Both have the same size. Faces are not smoothed in time; None where none is seen. Crops of both frames are taken
    at boxes of the source's face, so that a video that moves the face is not forgiven.
    """

    index: int
    source: Frame
    source_face: Face | None
    frame: Frame
    face: Face | None


@dataclass(frozen=True)
class Sound:
    """What is heard beside the video: mono float32 in -1..1 at 16 kHz, and the frames that it lasts for at 25 fps."""

    samples: NDArray[np.float32]
    frames: int


def mean(samples: Samples) -> float:
    """The mean of all rows that were measured."""
    return float(np.nanmean(samples))


@dataclass(frozen=True)
class Reading:
    """One figure of one video. `value` is None where it could not be measured, and `reason` says why."""

    value: float | None
    n: int
    """Frames, windows or pairs that it rests on."""
    reason: str = ""
    is_invalid: bool = False
    """Whether the metric itself does not work on this clip, rather than not being there."""
    samples: Samples | None = None
    """Of which the value is the `statistic`; None where resampling them says nothing."""
    statistic: Callable[[Samples], float] = mean
    is_per_frame: bool = False
    """Whether row i of the samples is frame i's, and says something of it alone: then there are best and worst frames."""
    deviation: float | None = None
    """Of the value, where the metric has its own."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What else belongs to it, as JSON takes it: curves, counts, marks."""


class Meter(Protocol):
    """Measures one video."""

    def see(self, view: View) -> None:
        """The next frame; every frame, once and in order."""

    def readings(self, sound: Sound) -> dict[str, Reading]:
        """All figures by their quantities' names, of the frames seen with that audio; may be asked again."""


class Metric(Protocol):
    """One way to judge videos, with its networks loaded."""

    quantities: tuple[Quantity, ...]
    weights: tuple[str, ...]
    """Names in the registry; none where it needs no network."""
    hears: bool
    """Whether a reading depends on the audio."""

    def meter(self) -> Meter:
        """For one video."""


@dataclass
class Plain:
    """A metric without networks."""

    quantities: tuple[Quantity, ...]
    meter: Callable[[], Meter]
    hears: bool = False
    weights: tuple[str, ...] = ()
