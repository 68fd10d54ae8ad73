"""Where the faces of a frame are: MediaPipe's BlazeFace, the 256 px model for back cameras.

V. Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", 2019. Anchors,
thresholds and the merging of overlapping boxes are those of MediaPipe's graph `face_detection_back_desktop_live`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.faces.network import Network, sigmoid
from worker.media.frame import Floats, Frame

INPUT = 256
"""Side of the network's square input, in pixels."""
MIN_SCORE = 0.5
MERGE_OVERLAP = 0.3
"""Boxes whose intersection over union is above this are one face."""
ANCHORS_PER_CELL = {16: 2, 32: 6}
"""By stride in pixels: two for each of the layers 16, 32, 32, 32. In all 16 x 16 x 2 + 8 x 8 x 6 = 896."""

_BOXES, _SCORES = "regressors", "classificators"  # outputs of the network

LEFT_EYE, RIGHT_EYE = 0, 1  # keypoints, as seen by the viewer; then nose tip, mouth, left ear, right ear


@dataclass(frozen=True)
class Detection:
    """One face, in frame pixels.

    `box` is (4,) float32: left, top, right, bottom, about from the brows to the chin. `keypoints` is (6, 2)
    float32: left eye, right eye, nose tip, mouth, left ear, right ear, left and right as the viewer sees.
    `score` is 0.5 to 1.
    """

    box: Floats
    keypoints: Floats
    score: float

    @property
    def centre(self) -> Floats:
        """(2,) x and y of the box's middle, in pixels."""
        return 0.5 * (self.box[:2] + self.box[2:])

    @property
    def size(self) -> float:
        """The box's longer side, in pixels."""
        return float((self.box[2:] - self.box[:2]).max())


class Detector:
    """Finds faces from about 1/20 of the frame's longer side upwards."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._anchors = _anchors()

    def detect(self, frame: Frame) -> list[Detection]:
        """Every face of the frame, best score first."""
        image, scale = _letterboxed(frame)
        outputs = self._network.run(image)
        scores, raw = sigmoid(outputs[_SCORES]), outputs[_BOXES].reshape(-1, 8, 2)
        likely = (scores >= MIN_SCORE) & (raw[:, 1] > 0).all(axis=1)
        shapes = _decoded(raw[likely], self._anchors[likely])
        return [
            Detection(shape[:2].reshape(4) / scale, shape[2:] / scale, score)
            for shape, score in _merged(shapes, scores[likely])
        ]


def _letterboxed(frame: Frame) -> tuple[Floats, float]:
    """The frame at the top left of a black square, (256, 256, 3) float32 RGB, -1 to 1; its scale there."""
    scale = INPUT / max(frame.width, frame.height)
    width, height = (max(1, round(side * scale)) for side in (frame.width, frame.height))
    image = np.full((INPUT, INPUT, 3), -1, dtype=np.float32)
    image[:height, :width] = frame.thumbnail(width, height) * np.float32(1 / 127.5) - 1
    return image, scale


def _anchors() -> Floats:
    """(896, 2) float32: x and y of each anchor's middle, in pixels of the network's input."""
    layers = []
    for stride, count in ANCHORS_PER_CELL.items():
        middles = np.arange(stride / 2, INPUT, stride, dtype=np.float32)
        y, x = np.meshgrid(middles, middles, indexing="ij")
        layers.append(np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2), count, axis=0))
    return np.concatenate(layers)


def _decoded(raw: Floats, anchors: Floats) -> Floats:
    """(n, 8, 2) from the network's own: corner, corner, six keypoints, in pixels of its input.

    Raw is the box's middle less the anchor, its width and height, and the keypoints less the anchor.
    """
    middle, half = raw[:, 0] + anchors, raw[:, 1] / 2
    shapes = np.concatenate(
        [np.stack([middle - half, middle + half], 1), raw[:, 2:] + anchors[:, None]], axis=1
    )
    return np.asarray(shapes, dtype=np.float32)


def _merged(shapes: Floats, scores: Floats) -> list[tuple[Floats, float]]:
    """One shape and its best score for each group of overlapping ones, best first.

    The shape is their mean weighted by score, which is steadier than the best one alone.
    """
    merged = []
    order = np.argsort(-scores, kind="stable")
    while len(order):
        same = _overlap(shapes[order[0], :2], shapes[order, :2]) > MERGE_OVERLAP
        group = order[same]
        mean = np.average(shapes[group], axis=0, weights=scores[group])
        merged.append((np.asarray(mean, dtype=np.float32), float(scores[order[0]])))
        order = order[~same]
    return merged


def _overlap(one: Floats, others: Floats) -> NDArray[np.floating]:
    """(n,) intersection over union of a box (2, 2) with boxes (n, 2, 2), each two corners."""
    common = np.minimum(one[1], others[:, 1]) - np.maximum(one[0], others[:, 0])
    shared = np.prod(np.maximum(common, 0), axis=-1)
    areas = np.prod(others[:, 1] - others[:, 0], axis=-1)
    return np.asarray(shared / (np.prod(one[1] - one[0]) + areas - shared))
