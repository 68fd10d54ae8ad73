"""Where MuseTalk's boxes lie in a frame, and the way of their pixels to 256 x 256 and back.

The rules are upstream's (`utils/preprocessing.py`, `utils/blending.py` and `scripts/inference.py` of
TMElyralab/MuseTalk, MIT), to the integer. Other than there, a box never leaves the frame: there its crop would be
shorter than the box, and the face distorted.
"""

import cv2
import numpy as np

from contract.job import JobOptions
from worker.engines.musetalk.variants import Variant
from worker.faces.face import Points
from worker.media.frame import Box, Pixels

SIDE = 256
"""Of the networks' pictures, in pixels."""
EXPAND = 1.5
"""Side of the square that the mask is made in, over the longer side of the face's box."""
MIN_SIDE = 8
"""A box with a shorter side is none."""
NOSE = 29
"""The point on the nose's bridge that the drawn half begins at, of the 68."""


def face_box(points68: Points, variant: Variant, options: JobOptions, width: int, height: int) -> Box | None:
    """The face's box in a frame of that size, from (68, 2) float32 points in frame pixels; None where none is left.

    Its middle is the point `NOSE`, its bottom the lowest point, its sides the outermost ones.
    """
    points = points68.astype(np.int32)  # cuts the fraction off, towards 0
    if variant.uses_shift:
        points[NOSE, 1] += options.bbox_shift
    left, right = int(points[:, 0].min()), int(points[:, 0].max())
    bottom, middle = int(points[:, 1].max()), int(points[NOSE, 1])
    top = middle - (bottom - middle)
    if variant.uses_margin:
        bottom += options.extra_margin
    box = Box(max(0, left), max(0, top), min(width, right), min(height, bottom))
    return box if min(box.width, box.height) >= MIN_SIDE else None


def expanded(box: Box) -> Box:
    """The square around a face's box that its mask is made in; it may reach beyond the frame."""
    x, y = (box.left + box.right) // 2, (box.top + box.bottom) // 2
    reach = int(max(box.width, box.height) // 2 * EXPAND)
    return Box(x - reach, y - reach, x + reach, y + reach)


def cut(rgb: Pixels, place: Box, box: Box) -> Pixels:
    """The pixels of `box`, (h, w, 3) uint8 RGB, from those of `place`; black where `place` has none."""
    left, top = max(box.left, place.left), max(box.top, place.top)
    right, bottom = min(box.right, place.right), min(box.bottom, place.bottom)
    pixels = np.zeros((box.height, box.width, 3), dtype=np.uint8)
    if left < right and top < bottom:
        seen = rgb[top - place.top : bottom - place.top, left - place.left : right - place.left]
        pixels[top - box.top : bottom - box.top, left - box.left : right - box.left] = seen
    return pixels


def to_256(rgb: Pixels) -> Pixels:
    """A face as the networks see it, (256, 256, 3) uint8 RGB, from the pixels of its box, (h, w, 3)."""
    return np.asarray(cv2.resize(rgb, (SIDE, SIDE), interpolation=cv2.INTER_LANCZOS4), dtype=np.uint8)


def from_256(picture: Pixels, width: int, height: int) -> Pixels:
    """What the networks drew, (256, 256, 3) uint8 RGB, in the size of its box, (height, width, 3)."""
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
