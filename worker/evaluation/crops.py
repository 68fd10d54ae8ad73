"""Where a picture metric looks: boxes of a face, on the chroma grid."""

import math

from worker.faces.face import Face, Points
from worker.faces.regions import OUTER_LIPS
from worker.media.frame import Box

FACE_MARGIN, MOUTH_MARGIN = 1.1, 1.6
"""Side of the square over the longer side of the points' own box."""


def face_box(face: Face, width: int, height: int) -> Box:
    """The square around all points, cut to a frame of that size; empty where they lie outside."""
    return _square(face.points, FACE_MARGIN, width, height)


def mouth_box(face: Face, width: int, height: int) -> Box:
    """The square around the lips, cut to a frame of that size; empty where they lie outside."""
    return _square(face.points[list(OUTER_LIPS)], MOUTH_MARGIN, width, height)


def _square(points: Points, margin: float, width: int, height: int) -> Box:
    low, high = points.min(axis=0), points.max(axis=0)
    half = float((high - low).max()) * margin / 2
    x, y = (float(each) for each in (low + high) / 2)
    box = Box(math.floor(x - half), math.floor(y - half), math.ceil(x + half), math.ceil(y + half))
    return box.even_within(width, height)
