"""Where a face and its mouth are looked at: boxes of the source's face, the same for every video that is judged."""

import numpy as np
from numpy.typing import NDArray

from worker.faces.face import Face
from worker.faces.regions import OUTER_LIPS
from worker.media.frame import Box, Frame

FACE_MARGIN = 0.1
"""Room around the mesh's own box, over its longer side."""
MOUTH_OVER_FACE = 0.5
"""Side of the mouth's square over the height of the face: from the nose's wings to the chin, wide open too."""
CHEEKS, NECK = 0.35, 0.4
"""How far beside and below the face a new mouth may be blended in, over the face's width and height."""


def face_box(face: Face, width: int, height: int) -> Box:
    """The whole face in a frame of that size: a square where it fits, on the chroma grid."""
    low, high = face.points.min(axis=0), face.points.max(axis=0)
    return _square((low + high) / 2, float((high - low).max()) * (1 + 2 * FACE_MARGIN), width, height)


def mouth_box(face: Face, width: int, height: int) -> Box:
    """The mouth in a frame of that size, centred on the lips: a square where it fits, on the chroma grid."""
    lips = face.points[list(OUTER_LIPS)]
    centre = (lips.min(axis=0) + lips.max(axis=0)) / 2
    return _square(centre, MOUTH_OVER_FACE * face.height, width, height)


def redrawn_box(face: Face, width: int, height: int) -> Box:
    """All that a new mouth may change in a frame of that size: from the eyes down to the neck, with the cheeks."""
    low, high = face.points.min(axis=0), face.points.max(axis=0)
    wide, tall = high - low
    left, right = low[0] - CHEEKS * wide, high[0] + CHEEKS * wide
    top, bottom = low[1] + 0.25 * tall, high[1] + NECK * tall
    return Box(int(left), int(top), int(right), int(bottom)).even_within(width, height)


def luma(frame: Frame, box: Box) -> NDArray[np.uint8]:
    """(h, w) uint8: the box's Y samples, BT.709 limited; a view, not a copy."""
    return frame.y[box.top : box.bottom, box.left : box.right]


def is_empty(box: Box) -> bool:
    """Whether nothing of it lies in the frame."""
    return box.width <= 0 or box.height <= 0


def _square(centre: NDArray[np.floating], side: float, width: int, height: int) -> Box:
    half = side / 2
    left, top = np.floor(centre - half).astype(int)
    right, bottom = np.ceil(centre + half).astype(int)
    return Box(int(left), int(top), int(right), int(bottom)).even_within(width, height)
