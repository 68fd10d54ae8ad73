"""ArcFace: whose face it is, as 512 figures (Deng et al., "ArcFace: Additive Angular Margin Loss", 2019).

The network is InsightFace's w600k_r50 as ONNX. What it is given is what uniface 4.2 gives it (recognition/base.py,
face_utils.py; MIT): a face turned and scaled so that five points lie where those of its training lay, RGB in -1..1.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.engines.musetalk.onnx import open_session, running
from worker.faces.face import MOUTH_LEFT, MOUTH_RIGHT, Face, Points
from worker.media.frame import Box, Floats, Frame, Pixels

SIDE = 112
"""Of the network's input, in pixels."""
FEATURES = 512

PLACES = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where the input has the viewer's left eye, the right one, the nose, and the mouth's corners: x, y in pixels."""

# Rings around the eyes in MediaPipe's mesh, left and right as the viewer sees them: their mean is where a detector
# of five points has the eye, open or shut.
LEFT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
RIGHT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
NOSE = 4
"""The tip. MediaPipe calls point 1 so, just below; but 4 fits the places better in 4 of the 5 faces it was tried on."""


class ArcFace:
    """Tells faces apart. Use it from one thread at a time."""

    def __init__(self, path: Path, threads: int) -> None:
        """Loads the ONNX file, on a GPU where ONNX Runtime has it, else for that many CPU threads.

        Raises:
            ConfigurationError: ONNX Runtime is not installed, or the file is not that network.
        """
        self._session: Any = open_session(path, threads, (1, 3, SIDE, SIDE), [(1, FEATURES)])
        entry = self._session.get_inputs()[0]
        self._input = entry.name
        self._takes_many = not isinstance(entry.shape[0], int)

    def embeddings(self, crops: Sequence[Pixels]) -> Floats:
        """(n, 512) float32 of length 1, of n faces that `aligned` made.

        Raises:
            EngineFailed: ONNX Runtime failed.
        """
        batch = (np.stack(crops).transpose(0, 3, 1, 2).astype(np.float32) - 127.5) / 127.5
        parts = [batch] if self._takes_many else np.split(batch, len(batch))
        with running("ArcFace"):
            found = np.concatenate([self._session.run(None, {self._input: each})[0] for each in parts])
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        return np.asarray(found / np.maximum(lengths, 1e-12), dtype=np.float32)


def aligned(frame: Frame, face: Face) -> Pixels:
    """The face as the network wants it, (112, 112, 3) uint8 RGB; black beyond the frame's edge."""
    matrix = _similarity(five_points(face), PLACES)
    box = _seen(matrix, frame.width, frame.height)
    if box.width <= 0 or box.height <= 0:
        return np.zeros((SIDE, SIDE, 3), np.uint8)
    matrix[:, 2] += matrix[:, :2] @ (box.left, box.top)
    return np.asarray(cv2.warpAffine(frame.rgb(box), matrix, (SIDE, SIDE)), dtype=np.uint8)


def five_points(face: Face) -> Points:
    """(5, 2) float32: the eyes, the nose and the mouth's corners in frame pixels, left to right as the viewer sees."""
    points = face.points
    eyes = [points[list(ring)].mean(axis=0) for ring in (LEFT_EYE, RIGHT_EYE)]
    return np.array([*eyes, points[NOSE], points[MOUTH_LEFT], points[MOUTH_RIGHT]], np.float32)


def _similarity(points: Points, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, 3): turns, scales and shifts the points nearest to the places, in least squares.

    With points as complex numbers that is one division: scale and turn are a factor (S. Umeyama, "Least-Squares
    Estimation of Transformation Parameters Between Two Point Patterns", 1991, has it for any dimension).
    """
    found, wanted = (each[:, 0] + 1j * each[:, 1] for each in (points.astype(np.float64), places))
    centred = found - found.mean()
    factor = np.vdot(centred, wanted - wanted.mean()) / max(np.vdot(centred, centred).real, 1e-12)
    offset = wanted.mean() - factor * found.mean()
    return np.array([[factor.real, -factor.imag, offset.real], [factor.imag, factor.real, offset.imag]])


def _seen(matrix: NDArray[np.float64], width: int, height: int) -> Box:
    """All pixels of a frame of that size that the input is made of, on the chroma grid."""
    corners = np.array([[0, 0], [SIDE, 0], [0, SIDE], [SIDE, SIDE]]) - matrix[:, 2]
    found = corners @ np.linalg.pinv(matrix[:, :2]).T
    low, high = found.min(axis=0) - 2, found.max(axis=0) + 2
    left, top, right, bottom = (math.floor(each) for each in (*low, *high))
    return Box(left, top, right, bottom).even_within(width, height)
