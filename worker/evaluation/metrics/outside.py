"""What changed where nothing should: the error outside the part of the picture that a new mouth may change.

It is as large as the codec's own error, or the picture was moved, pasted with a seam, or its colours were shifted.
"""

from pathlib import Path

import cv2
import numpy as np

from worker.evaluation.crops import redrawn_box
from worker.evaluation.metrics.base import Plain, Reading, Sound, View, mean
from worker.evaluation.metrics.quantities import OUTSIDE_ERROR


class OutsideMeter:
    """Compares frame by frame; keeps one number of each."""

    def __init__(self) -> None:
        self._errors: list[float] = []

    def see(self, view: View) -> None:
        """The next frame; one without a face is compared whole."""
        self._errors.append(self._error(view))

    def readings(self, sound: Sound) -> dict[str, Reading]:
        """The mean over all frames."""
        errors = np.array(self._errors)[: sound.frames, None]
        n = int(np.isfinite(errors).sum())
        if n == 0:
            return {OUTSIDE_ERROR.name: Reading(None, 0, "the face fills every frame")}
        return {OUTSIDE_ERROR.name: Reading(mean(errors), n, samples=errors, is_per_frame=True)}

    @staticmethod
    def _error(view: View) -> float:
        """Mean absolute difference; NaN where nothing of the frame is outside."""
        difference = np.asarray(cv2.absdiff(view.source.y, view.frame.y))
        total, pixels = int(difference.sum(dtype=np.int64)), difference.size
        if view.source_face is not None:
            box = redrawn_box(view.source_face, view.source.width, view.source.height)
            inside = difference[box.top : box.bottom, box.left : box.right]
            total, pixels = total - int(inside.sum(dtype=np.int64)), pixels - inside.size
        return total / pixels if pixels else np.nan


def load(folder: Path, threads: int) -> Plain:
    """It needs no weights."""
    return Plain((OUTSIDE_ERROR,), OutsideMeter)
