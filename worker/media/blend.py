"""Drawing a mouth into a frame's planes, so that no pixel outside of it is ever converted."""

from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.engines.base import Mouth
from worker.media.frame import Box, Frame, Pixels

# BT.709, limited range (ITU-R BT.709-6, 3.2 to 3.5): rows give Y, U, V steps from R, G, B steps.
_YUV_FROM_RGB = np.array(
    [
        [0.2126 * 219 / 255, 0.7152 * 219 / 255, 0.0722 * 219 / 255],
        [-0.2126 / 1.8556 * 224 / 255, -0.7152 / 1.8556 * 224 / 255, 0.9278 / 1.8556 * 224 / 255],
        [0.7874 / 1.5748 * 224 / 255, -0.7152 / 1.5748 * 224 / 255, -0.0722 / 1.5748 * 224 / 255],
    ]
)
_TWO_BY_TWO = np.ones((2, 2), np.uint8)


def blend(frame: Frame, mouth: Mouth) -> None:
    """Draw the mouth into the frame, in place: frame + alpha * (drawing - frame).

    The difference is taken in RGB, where the drawing was made, and added to the planes. So a drawing of what is
    there changes nothing at all, however often colours went back and forth. A chroma sample takes the least
    alpha of its four pixels: every pixel with alpha 0 stays bit-exact in all planes.
    """
    box = _tight(mouth, frame)
    if box is None:
        return
    drawn = _part(mouth.rgb, mouth.box, box)
    alpha = np.ascontiguousarray(_part(mouth.alpha, mouth.box, box))
    step = cv2.transform(cv2.subtract(drawn, frame.rgb(box), dtype=cv2.CV_32F), _YUV_FROM_RGB)
    luma, *chroma = cv2.split(step)
    half = (box.width // 2, box.height // 2)
    half_alpha = cv2.erode(alpha, _TWO_BY_TWO, anchor=(0, 0))[::2, ::2]
    _add(frame.y[box.top : box.bottom, box.left : box.right], luma, alpha)
    for plane, wide in zip((frame.u, frame.v), chroma, strict=True):
        region = plane[box.top // 2 : box.bottom // 2, box.left // 2 : box.right // 2]
        _add(region, cv2.resize(wide, half, interpolation=cv2.INTER_AREA), half_alpha)


def _tight(mouth: Mouth, frame: Frame) -> Box | None:
    """The part of the mouth's box that is not all transparent, on the chroma grid; None where nothing is drawn."""
    left, top, width, height = cv2.boundingRect((mouth.alpha > 0).view(np.uint8))
    if not width:
        return None
    left, top = left + mouth.box.left, top + mouth.box.top
    return Box(left, top, left + width, top + height).even_within(frame.width, frame.height)


_Array = TypeVar("_Array", bound=NDArray[Any])


def _part(array: _Array, outer: Box, inner: Box) -> _Array:
    return array[  # type: ignore[return-value]
        inner.top - outer.top : inner.bottom - outer.top, inner.left - outer.left : inner.right - outer.left
    ]


def _add(plane: Pixels, step: Any, alpha: Any) -> None:
    """Add the weighted step to the plane in place, rounded and held within 0..255."""
    cv2.add(plane, cv2.multiply(step, alpha), dst=plane, dtype=cv2.CV_8U)
