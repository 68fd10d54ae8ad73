"""Whether the mouth trembles: how much the luma bends in time, |next - 2 now + last|, generated over source.

Motion at a steady pace bends little; what jumps to and fro between frames bends much. Models that draw each frame
alone are known for it.
"""

from collections import deque
from pathlib import Path

import numpy as np

from worker.evaluation.crops import is_empty, luma, mouth_box
from worker.evaluation.metrics.base import Plain, Reading, Sound, View
from worker.evaluation.metrics.quantities import FLICKER_RATIO
from worker.evaluation.metrics.sharpness import ratio
from worker.media.frame import Box, Frame


class FlickerMeter:
    """Looks at three frames at a time; keeps those and two numbers of each frame."""

    def __init__(self) -> None:
        self._last: deque[View] = deque(maxlen=3)
        self._pairs: list[tuple[float, float]] = []

    def see(self, view: View) -> None:
        """The next frame: the one before it is measured, at its own mouth's place."""
        self._last.append(view)
        if len(self._last) == 3:
            self._pairs.append(self._bends())

    def readings(self, sound: Sound) -> dict[str, Reading]:
        """The means' ratio."""
        pairs = np.array(self._pairs, np.float64).reshape(-1, 2)[: max(0, sound.frames - 2)]
        n = int(np.isfinite(pairs[:, 0]).sum())
        if n == 0 or not np.nanmean(pairs[:, 1]) > 0:
            return {FLICKER_RATIO.name: Reading(None, n, "the source is a still, or shows no mouth")}
        return {FLICKER_RATIO.name: Reading(ratio(pairs), n, samples=pairs, statistic=ratio)}

    def _bends(self) -> tuple[float, float]:
        middle = self._last[1]
        if middle.source_face is None or any(view.source_face is None for view in self._last):
            return np.nan, np.nan
        box = mouth_box(middle.source_face, middle.source.width, middle.source.height)
        made, recorded = ([view.frame for view in self._last], [view.source for view in self._last])
        return _bend(made, box), _bend(recorded, box)


def _bend(frames: list[Frame], box: Box) -> float:
    """Mean |next - 2 now + last| of the luma in the box; NaN where the box is empty."""
    if is_empty(box):
        return np.nan
    last, now, then = (luma(frame, box).astype(np.int16) for frame in frames)
    return float(np.abs(then - 2 * now + last).mean())


def load(folder: Path, threads: int) -> Plain:
    """It needs no weights."""
    return Plain((FLICKER_RATIO,), FlickerMeter)
