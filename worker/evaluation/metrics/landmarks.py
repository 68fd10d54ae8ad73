"""How far the mouth's landmarks are from the recorded ones (LMD), where the audio is the source's own.

L. Chen et al., "Lip Movements Generation at a Glance", 2018: the mean distance of corresponding points; here those of
the lips, over the distance of the eyes' outer corners, so that the size of the face does not matter.
"""

from pathlib import Path

import numpy as np

from worker.evaluation.metrics.base import Plain, Reading, Sound, View, mean
from worker.evaluation.metrics.quantities import LANDMARK_DISTANCE
from worker.faces.face import Face
from worker.faces.mesh import LEFT_EYE_CORNER, RIGHT_EYE_CORNER
from worker.faces.regions import INNER_LIPS, OUTER_LIPS

_LIPS = [*INNER_LIPS, *OUTER_LIPS]


class LandmarksMeter:
    """Compares faces frame by frame; keeps one number of each."""

    def __init__(self) -> None:
        self._distances: list[float] = []

    def see(self, view: View) -> None:
        """The next frame."""
        seen = view.source_face is not None and view.face is not None
        self._distances.append(_distance(view.source_face, view.face) if seen else np.nan)

    def readings(self, sound: Sound) -> dict[str, Reading]:
        """The mean over frames where both show the face."""
        distances = np.array(self._distances)[: sound.frames, None]
        n = int(np.isfinite(distances).sum())
        if n == 0:
            return {LANDMARK_DISTANCE.name: Reading(None, 0, "no frame shows the face in both videos")}
        return {LANDMARK_DISTANCE.name: Reading(mean(distances), n, samples=distances, is_per_frame=True)}


def _distance(one: Face | None, other: Face | None) -> float:
    assert one is not None and other is not None  # noqa: S101 - for the type checker
    eyes = float(np.linalg.norm(one.points[LEFT_EYE_CORNER] - one.points[RIGHT_EYE_CORNER]))
    apart = np.linalg.norm(one.points[_LIPS] - other.points[_LIPS], axis=1)
    return float(apart.mean()) / max(eyes, 1e-6)


def load(folder: Path, threads: int) -> Plain:
    """It needs no weights."""
    return Plain((LANDMARK_DISTANCE,), LandmarksMeter)
