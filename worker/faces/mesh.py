"""The 468 points of one face: MediaPipe's face mesh.

Y. Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", 2019. The square
it looks at (1.5 times the face, turned so that the eyes are level) is that of MediaPipe's graph
`face_landmark_front`.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.faces.detect import LEFT_EYE, RIGHT_EYE, Detection
from worker.faces.face import Face, Points
from worker.faces.network import Network, sigmoid
from worker.media.frame import Box, Floats, Frame, Pixels

INPUT = 192
"""Side of the network's square input, in pixels."""
MIN_SCORE = 0.5
MARGIN = 1.5
"""Side of the square over the longer side of the face."""
_POINTS, _SCORE = "conv2d_20", "conv2d_30"  # outputs of the network

LEFT_EYE_CORNER, RIGHT_EYE_CORNER = 33, 263  # mesh points, the outer corners as the viewer sees them


@dataclass(frozen=True)
class Square:
    """A square of a frame, turned with the head.

    Its middle and side are in pixels, its turn in radians, positive for clockwise on the screen.
    """

    x: float
    y: float
    side: float
    turn: float

    @classmethod
    def around_detection(cls, detection: Detection) -> "Square":
        """1.5 times the detector's box, eyes level."""
        x, y = detection.centre
        turn = _turn(detection.keypoints[LEFT_EYE], detection.keypoints[RIGHT_EYE])
        return cls(float(x), float(y), MARGIN * detection.size, turn)

    @classmethod
    def around_points(cls, points: Points) -> "Square":
        """1.5 times the points' own box, measured along and across the level of the eyes."""
        turn = _turn(points[LEFT_EYE_CORNER], points[RIGHT_EYE_CORNER])
        level = points @ _rotation(turn)
        low, high = level.min(axis=0), level.max(axis=0)
        x, y = _rotation(turn) @ ((low + high) / 2)
        return cls(float(x), float(y), MARGIN * float((high - low).max()), turn)

    @property
    def to_frame(self) -> NDArray[np.float64]:
        """(2, 3) float64: from pixels of the network's input to pixels of the frame."""
        linear = _rotation(self.turn) * (self.side / INPUT)
        offset = np.array([self.x, self.y]) - linear @ np.full(2, INPUT / 2)
        return np.column_stack([linear, offset])

    def box(self, width: int, height: int) -> Box:
        """The pixels that it touches of a frame of that size, on the chroma grid; may be empty."""
        reach = self.side / 2 * (abs(math.cos(self.turn)) + abs(math.sin(self.turn))) + 1
        left, top = math.floor(self.x - reach), math.floor(self.y - reach)
        return Box(left, top, math.ceil(self.x + reach), math.ceil(self.y + reach)).even_within(width, height)


class Mesh:
    """Fits the mesh to the face in a square."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def fit(self, frame: Frame, square: Square) -> Face | None:
        """The face in the square, unsmoothed; None where the network sees none (score under 0.5)."""
        box = square.box(frame.width, frame.height)
        if box.width <= 0 or box.height <= 0:
            return None
        outputs = self._network.run(_crop(frame, square, box) * np.float32(1 / 255))
        score = float(sigmoid(outputs[_SCORE])[0])
        if score < MIN_SCORE:
            return None
        inside = outputs[_POINTS].reshape(468, 3)[:, :2]
        points = inside @ square.to_frame[:, :2].T + square.to_frame[:, 2]
        return Face(points.astype(np.float32), score)

    def acquire(self, frame: Frame, detection: Detection) -> Face | None:
        """The face that the detector found: fitted in its box, then again in the box of its own points."""
        first = self.fit(frame, Square.around_detection(detection))
        return first and self.fit(frame, Square.around_points(first.points))


def _crop(frame: Frame, square: Square, box: Box) -> Pixels:
    """The square upright, (192, 192, 3) uint8 RGB; beyond the frame's edge the edge is repeated."""
    pixels = _shrunk(frame, box, max(1, int(square.side // INPUT)))
    scale = np.array([pixels.shape[1] / box.width, pixels.shape[0] / box.height])
    matrix = square.to_frame
    matrix[:, 2] -= (box.left, box.top)
    matrix *= scale[:, None]
    matrix[:, 2] += (scale - 1) / 2  # pixel middles stay pixel middles
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(pixels, matrix, (INPUT, INPUT), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, dtype=np.uint8)


def _shrunk(frame: Frame, box: Box, factor: int) -> Pixels:
    """The box as RGB, shrunk by averaging: a warp alone would skip pixels of a large face, and flicker."""
    if factor == 1:
        return frame.rgb(box)
    half = np.s_[box.top // 2 : box.bottom // 2, box.left // 2 : box.right // 2]
    y = frame.y[box.top : box.bottom, box.left : box.right]
    part = Frame(frame.index, frame.source_index, y, frame.u[half], frame.v[half])
    return part.thumbnail(max(1, box.width // factor), max(1, box.height // factor))


def _turn(left: Floats, right: Floats) -> float:
    """Of the line from the left eye to the right, in radians; 0 is level."""
    across = right - left
    return math.atan2(float(across[1]), float(across[0]))


def _rotation(turn: float) -> NDArray[np.float64]:
    """(2, 2): turns a column vector clockwise on the screen (y points down)."""
    cos, sin = math.cos(turn), math.sin(turn)
    return np.array([[cos, -sin], [sin, cos]])
