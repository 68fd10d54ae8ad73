"""The colours of one face in its own light."""

from dataclasses import dataclass

import numpy as np

from worker.engines.preview.axes import Array
from worker.engines.preview.shape import CHEEKS, LOWER_INNER, LOWER_OUTER, UPPER_INNER, UPPER_OUTER, Shape
from worker.engines.preview.smoothstep import smoothstep
from worker.media.frame import Pixels

_LUMA = np.array([0.2126, 0.7152, 0.0722])  # BT.709
_IVORY = np.array([1.04, 1.0, 0.90])
_WHITEST = 0.92 * 255
_LIT_BY_SKIN = 0.7  # exponent: darker skin in the same light does not have teeth as much darker
_FLESH, _DARK = np.array([0.5, 0.33, 0.33]), np.array([0.22, 0.12, 0.12])  # of the lips' colour
_TEETH_SHOW = (0.15, 0.5)  # of the way in brightness from the lips to the teeth one would draw


@dataclass(frozen=True)
class Palette:
    """Each colour is (3,) float64, RGB, 0..255."""

    lips: Array
    teeth: Array
    """To draw with: as bright as the light on the cheeks."""
    flesh: Array
    dark: Array
    own_teeth: Array
    """The brighter half of what lies between the source's lips, be it teeth or not."""
    shows_teeth: float
    """0 to 1: the source's lips are parted and teeth are between them."""

    @classmethod
    def of(cls, rgb: Pixels, shape: Shape) -> "Palette":
        """From a face's pixels, (h, w, 3) uint8, and its points in them."""
        skin = np.median(colours(rgb, shape.points[CHEEKS]), axis=0)
        lips = np.median(colours(rgb, _on_lips(shape)), axis=0)
        between = colours(rgb, _between_lips(shape))
        own_teeth = np.median(
            between[np.argsort(between @ _LUMA, kind="stable")[-len(between) // 2 :]], axis=0
        )
        light = max(float(skin @ _LUMA), 1.0)
        teeth = _WHITEST * (light / 255) ** _LIT_BY_SKIN * (0.8 * _IVORY + 0.2 * skin / light)
        bright = float((own_teeth - lips) @ _LUMA) / max(float((teeth - lips) @ _LUMA), 1.0)
        shows_teeth = shape.parted * float(smoothstep(bright, *_TEETH_SHOW))
        return cls(lips, teeth, lips * _FLESH, lips * _DARK, own_teeth, shows_teeth)

    def toothlike(self, rgb: Array) -> Array:
        """(...): how far (..., 3) colours lie on the way from the lips' colour, 0, to the source's teeth's, 1."""
        way = self.own_teeth - self.lips
        return np.asarray((rgb - self.lips) @ way / max(float(way @ way), 1.0))


def colours(rgb: Pixels, points: Array) -> Array:
    """(..., 3) float64: the pixels nearest to (..., 2) points."""
    last = np.array([rgb.shape[1] - 1, rgb.shape[0] - 1])
    x, y = np.moveaxis(np.clip(np.round(points), 0, last).astype(int), -1, 0)
    return np.asarray(rgb[y, x], dtype=np.float64)


def _on_lips(shape: Shape) -> Array:
    inner, outer = np.append(UPPER_INNER, LOWER_INNER), np.append(UPPER_OUTER, LOWER_OUTER)
    return np.asarray(0.5 * (shape.points[inner].astype(np.float64) + shape.points[outer]))


def _between_lips(shape: Shape) -> Array:
    upper, lower = (shape.points[edge][2:-2].astype(np.float64) for edge in (UPPER_INNER, LOWER_INNER))
    return np.concatenate([0.7 * upper + 0.3 * lower, 0.5 * upper + 0.5 * lower])
