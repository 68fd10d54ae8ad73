"""The one pixel format between decode and encode: 8-bit 4:2:0, BT.709, limited range, even size, upright."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

# BT.709, limited range (ITU-R BT.709-6, 3.2 to 3.5): rows give R, G, B from Y-16, U-128, V-128.
_RGB_FROM_YUV = np.array(
    [
        [255 / 219, 0.0, 255 / 224 * 1.5748],
        [255 / 219, -255 / 224 * 0.1873, -255 / 224 * 0.4681],
        [255 / 219, 255 / 224 * 1.8556, 0.0],
    ],
    dtype=np.float64,
)
_RGB_OFFSET = _RGB_FROM_YUV @ np.array([-16.0, -128.0, -128.0])


@dataclass(frozen=True, order=True)
class Box:
    """Pixels [left, right) x [top, bottom) of a frame."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """In pixels."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """In pixels."""
        return self.bottom - self.top

    def even_within(self, width: int, height: int) -> "Box":
        """The smallest box on the 2 px chroma grid that holds this one, cut to a frame of that (even) size."""
        return Box(
            max(0, self.left // 2 * 2),
            max(0, self.top // 2 * 2),
            min(width, (self.right + 1) // 2 * 2),
            min(height, (self.bottom + 1) // 2 * 2),
        )


@dataclass(frozen=True)
class Frame:
    """One output frame: where it stands, which source frame it shows, and its planes.

    `y` is (H, W) uint8, `u` and `v` are (H/2, W/2) uint8; H and W are even. The planes belong to this frame
    alone and are written in place by `blend`.
    """

    index: int
    """Position in the output, from 0, at 25 fps."""
    source_index: int
    """Position on the source's own 25 fps grid, from 0; the same number is the same picture."""
    y: Pixels
    u: Pixels
    v: Pixels

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self.y.shape[1])

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.y.shape[0])

    def rgb(self, box: Box | None = None) -> Pixels:
        """The box's pixels, (h, w, 3) uint8, RGB. The box must lie on the chroma grid (`Box.even_within`)."""
        box = box or Box(0, 0, self.width, self.height)
        y = self.y[box.top : box.bottom, box.left : box.right]
        half = np.s_[box.top // 2 : box.bottom // 2, box.left // 2 : box.right // 2]
        size = (box.width, box.height)
        u = _resized(self.u[half], size, cv2.INTER_LINEAR)
        v = _resized(self.v[half], size, cv2.INTER_LINEAR)
        return _rgb_from_planes(y, u, v)

    def resized(self, width: int, height: int) -> "Frame":
        """The same picture in that (even) size, its planes averaged; itself where it has it."""
        if (self.width, self.height) == (width, height):
            return self
        size, half = (width, height), (width // 2, height // 2)
        y = _resized(self.y, size, cv2.INTER_AREA)
        u, v = (_resized(plane, half, cv2.INTER_AREA) for plane in (self.u, self.v))
        return replace(self, y=y, u=u, v=v)

    def thumbnail(self, width: int, height: int) -> Pixels:
        """The whole frame shrunk to that size, (height, width, 3) uint8, RGB; aspect is the caller's affair."""
        size = (width, height)
        planes = (_resized(plane, size, cv2.INTER_AREA) for plane in (self.y, self.u, self.v))
        return _rgb_from_planes(*planes)


def _resized(plane: Pixels, size: tuple[int, int], interpolation: int) -> Pixels:
    return np.asarray(cv2.resize(plane, size, interpolation=interpolation), dtype=np.uint8)


def _rgb_from_planes(y: Pixels, u: Pixels, v: Pixels) -> Pixels:
    matrix = np.hstack([_RGB_FROM_YUV, _RGB_OFFSET[:, None]])
    rgb = cv2.transform(cv2.merge([y, u, v]), matrix)  # saturates and rounds
    return np.asarray(rgb, dtype=np.uint8)
