"""Whether the mouth is as sharp as the recorded one: variance of the Laplacian, generated over source.

J. L. Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", 2000. Blurred mouths are the known
weakness of 96 px and 256 px models.
"""

from pathlib import Path

import cv2
import numpy as np

from worker.evaluation.crops import is_empty, luma, mouth_box
from worker.evaluation.metrics.base import Plain, Reading, Samples, Sound, View
from worker.evaluation.metrics.quantities import SHARPNESS_RATIO
from worker.media.frame import Box, Frame


def ratio(pairs: Samples) -> float:
    """Of the means: (n, 2), generated and source."""
    made, recorded = np.nanmean(pairs, axis=0)
    return float(made / recorded) if recorded > 0 else np.nan


class SharpnessMeter:
    """Measures frame by frame; keeps two numbers of each."""

    def __init__(self) -> None:
        self._pairs: list[tuple[float, float]] = []

    def see(self, view: View) -> None:
        """The next frame."""
        if view.source_face is None:
            self._pairs.append((np.nan, np.nan))
            return
        box = mouth_box(view.source_face, view.source.width, view.source.height)
        self._pairs.append((_sharpness(view.frame, box), _sharpness(view.source, box)))

    def readings(self, sound: Sound) -> dict[str, Reading]:
        """The means' ratio."""
        pairs = np.array(self._pairs, np.float64).reshape(-1, 2)[: sound.frames]
        n = int(np.isfinite(pairs[:, 0]).sum())
        if n == 0 or not np.nanmean(pairs[:, 1]) > 0:
            return {
                SHARPNESS_RATIO.name: Reading(None, n, "the source shows no mouth, or one without any detail")
            }
        return {
            SHARPNESS_RATIO.name: Reading(ratio(pairs), n, samples=pairs, statistic=ratio, is_per_frame=True)
        }


def _sharpness(frame: Frame, box: Box) -> float:
    """Variance of the luma's Laplacian in the box; NaN where the box is empty."""
    return np.nan if is_empty(box) else float(cv2.Laplacian(luma(frame, box), cv2.CV_32F).var())


def load(folder: Path, threads: int) -> Plain:
    """It needs no weights."""
    return Plain((SHARPNESS_RATIO,), SharpnessMeter)
