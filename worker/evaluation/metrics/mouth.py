"""How near the mouth's pixels are to the recorded ones: PSNR and SSIM of the luma, at the source's mouth.

Only where the audio is the source's own: with another one the recorded mouth says something else. SSIM is that of
Z. Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004, by scikit-image.
"""

from pathlib import Path

import numpy as np
from skimage.metrics import structural_similarity

from worker.evaluation.crops import luma, mouth_box
from worker.evaluation.metrics.base import Plain, Reading, Samples, Sound, View, mean
from worker.evaluation.metrics.quantities import MOUTH_PSNR, MOUTH_SSIM

PEAK = 255.0
SAME_DB = 100.0
"""What identical pictures count as: their MOUTH_PSNR has no upper end."""
SMALLEST_SIDE = 16
"""Of a mouth, in pixels: in a smaller one there is nothing to compare."""


def psnr(squares: Samples) -> float:
    """In dB, of mean squared errors; SAME_DB at most."""
    error = float(np.nanmean(squares))
    return min(SAME_DB, 10 * float(np.log10(PEAK**2 / error))) if error > 0 else SAME_DB


class MouthMeter:
    """Compares frame by frame; keeps two numbers of each."""

    def __init__(self) -> None:
        self._squares: list[float] = []
        self._ssim: list[float] = []

    def see(self, view: View) -> None:
        """The next frame."""
        squares, ssim = self._compared(view)
        self._squares.append(squares)
        self._ssim.append(ssim)

    def readings(self, sound: Sound) -> dict[str, Reading]:
        """Of the frames that show the source's face."""
        squares, ssim = (np.array(each)[: sound.frames, None] for each in (self._squares, self._ssim))
        n = int(np.isfinite(squares).sum())
        if n == 0:
            none = Reading(None, 0, "no frame of the source shows a mouth of 16 px")
            return {MOUTH_PSNR.name: none, MOUTH_SSIM.name: none}
        return {
            MOUTH_PSNR.name: Reading(psnr(squares), n, samples=squares, statistic=psnr, is_per_frame=True),
            MOUTH_SSIM.name: Reading(mean(ssim), n, samples=ssim, is_per_frame=True),
        }

    @staticmethod
    def _compared(view: View) -> tuple[float, float]:
        """Mean squared error and MOUTH_SSIM; NaN where the source shows no mouth."""
        if view.source_face is None:
            return np.nan, np.nan
        box = mouth_box(view.source_face, view.source.width, view.source.height)
        if min(box.width, box.height) < SMALLEST_SIDE:
            return np.nan, np.nan
        one, other = luma(view.source, box), luma(view.frame, box)
        squares = float(np.square(one.astype(np.float32) - other).mean())
        return squares, float(structural_similarity(one, other, data_range=PEAK))


def load(folder: Path, threads: int) -> Plain:
    """It needs no weights."""
    return Plain((MOUTH_PSNR, MOUTH_SSIM), MouthMeter)
