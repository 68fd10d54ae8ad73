"""Whether anything is missing: faces that went, mouths that froze, frames that were dropped or added."""

from pathlib import Path

import numpy as np

from worker.evaluation.crops import is_empty, luma, mouth_box
from worker.evaluation.metrics.base import Plain, Reading, Sound, View, mean
from worker.evaluation.metrics.quantities import FACE_COVERAGE, FROZEN_SHARE

STILL, MOVES = 0.25, 1.0
"""Mean difference of the luma from frame to frame, of 255: at and under the one a mouth stands still, above the other
it moves. Between them is what a camera's noise does, which an encoder may smooth away."""


class CoverageMeter:
    """Counts frame by frame."""

    def __init__(self) -> None:
        self._seen: list[float] = []
        self._frozen: list[float] = []
        self._last: View | None = None

    def see(self, view: View) -> None:
        """The next frame."""
        self._seen.append(np.nan if view.source_face is None else float(view.face is not None))
        self._frozen.append(_is_frozen(self._last, view) if self._last else np.nan)
        self._last = view

    def readings(self, sound: Sound) -> dict[str, Reading]:
        """Shares of the source's frames with a face, and of those where its mouth moves."""
        seen, frozen = (np.array(each)[: sound.frames, None] for each in (self._seen, self._frozen))
        return {
            FACE_COVERAGE.name: _share(seen, "no frame of the source shows a face"),
            FROZEN_SHARE.name: _share(frozen, "the source's mouth never moves"),
        }


def _share(marks: np.ndarray, reason: str) -> Reading:
    n = int(np.isfinite(marks).sum())
    return Reading(mean(marks), n, samples=marks) if n else Reading(None, 0, reason)


def _is_frozen(last: View, now: View) -> float:
    """1 where the mouth stands still and the source's moves; NaN where that one does not move, or is not seen."""
    if now.source_face is None:
        return np.nan
    box = mouth_box(now.source_face, now.source.width, now.source.height)
    if is_empty(box):
        return np.nan
    recorded, made = (
        float(np.abs(luma(one, box).astype(np.int16) - luma(other, box)).mean())
        for one, other in ((last.source, now.source), (last.frame, now.frame))
    )
    return float(made <= STILL) if recorded > MOVES else np.nan


def load(folder: Path, threads: int) -> Plain:
    """It needs no weights."""
    return Plain((FACE_COVERAGE, FROZEN_SHARE), CoverageMeter)
