"""The crop that SyncNet looks at: the face from its brow down, with room below the chin."""

import cv2
import numpy as np

from worker.evaluation.networks.syncnet import SIDE
from worker.evaluation.syncnet.face_track import Square
from worker.media.frame import Box, Frame, Pixels

ROOM = 0.40
"""Crop scale: the crop begins at the box's top, and its side is 2 + 2 x 0.4 halves of the box's."""
GREY = 110
"""What is around the frame."""
_CHROMA = 2
"""Pixels beside a region that its colours depend on."""


def crop(frame: Frame, square: Square) -> Pixels:
    """(224, 224, 3) uint8, BGR (joonson/syncnet_python@6efbb1c, run_pipeline.py: crop_video, without its codecs)."""
    region = _region(square, frame.width, frame.height)
    inside = Box(
        max(0, region.left),
        max(0, region.top),
        min(frame.width, region.right),
        min(frame.height, region.bottom),
    )
    canvas = np.full((region.height, region.width, 3), GREY, np.uint8)
    if inside.width > 0 and inside.height > 0:
        rows = slice(inside.top - region.top, inside.bottom - region.top)
        columns = slice(inside.left - region.left, inside.right - region.left)
        canvas[rows, columns] = _bgr(frame, inside)
    return np.asarray(cv2.resize(canvas, (SIDE, SIDE)), dtype=np.uint8)


def _region(square: Square, width: int, height: int) -> Box:
    """In pixels of the frame. It ends where the grey margin does, which is as wide as the crop is high."""
    margin = int(square.half * (1 + 2 * ROOM))
    x, y = square.x + margin, square.y + margin
    aside = square.half * (1 + ROOM)
    return Box(
        int(x - aside) - margin,
        int(y - square.half) - margin,
        min(width + margin, int(x + aside) - margin),
        min(height + margin, int(y + square.half * (1 + 2 * ROOM)) - margin),
    )


def _bgr(frame: Frame, box: Box) -> Pixels:
    """Those pixels, as they are in the whole frame's picture: colours are interpolated from beside the box, too."""
    wide = Box(box.left - _CHROMA, box.top - _CHROMA, box.right + _CHROMA, box.bottom + _CHROMA)
    around = wide.even_within(frame.width, frame.height)
    rgb = frame.rgb(around)
    rows = slice(box.top - around.top, box.bottom - around.top)
    return rgb[rows, box.left - around.left : box.right - around.left, ::-1]
