"""What shows between parted lips: the source's own teeth where it shows them, else drawn ones, in a dark cavity.

Upper teeth belong to the skull: they stand still while the lips move over them. The tongue goes with the jaw.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.engines.preview.lips import Lips
from worker.engines.preview.shape import CHEEKS, LOWER_INNER, LOWER_LIP, UPPER_INNER, UPPER_LIP, Array, Pose, Shape, smoothstep
from worker.engines.preview.voice import Viseme
from worker.media.frame import Pixels

Colours = NDArray[np.float32] | NDArray[np.float64]

_LUMA = np.array([0.2126, 0.7152, 0.0722])  # BT.709
_IVORY = np.array([1.04, 1.0, 0.90])

# Upper teeth from the middle outwards, as fractions of W (an adult's widths of 8.5, 6.5, 7, 6.5 and 6 mm, the
# outer ones seen from the side, over a mouth of 55 mm) and how much shorter than the first each is, of H.
_TOOTH_ENDS = np.cumsum([0.0, 0.145, 0.11, 0.10, 0.075, 0.06])
_TOOTH_SHORTER = np.array([0.0, 0.005, 0.002, 0.005, 0.008])
_TEETH = 0.014  # of H, how far they stand out below a shut upper lip
_EDGE = 0.005  # of H: edges are this soft, and at least a pixel
_LIP_MARGIN = 0.009  # of H: the mesh's lip edge is not exact; a source's inside is taken this far from it


@dataclass(frozen=True)
class Palette:
    """Colours of one face in its light, each (3,) float64, RGB, 0..255."""

    teeth: Array
    lips: Array
    flesh: Array
    dark: Array

    @classmethod
    def of(cls, rgb: Pixels, shape: Shape) -> "Palette":
        """Teeth as bright as the light on the cheeks, flesh and cavity tinted by the lips."""
        skin, lips = (np.median(_at(rgb, p), axis=0) for p in (shape.points[CHEEKS], _amid_lips(shape)))
        light = float(skin @ _LUMA) / 255
        white = 255 * 0.92 * light**0.7  # darker skin in the same light has teeth that are not darker
        tint = 0.8 * _IVORY + 0.2 * skin / max(float(skin @ _LUMA), 1.0)
        return cls(white * tint, lips, lips * np.array([0.5, 0.33, 0.33]), lips * np.array([0.22, 0.12, 0.12]))


def _amid_lips(shape: Shape) -> Array:
    """(22, 2): half way between the lips' inner and outer edges."""
    lips = shape.points[np.concatenate([UPPER_LIP, LOWER_LIP])].astype(np.float64)
    return lips.reshape(2, 2, -1, 2).mean(axis=1).reshape(-1, 2)


def _at(rgb: Pixels, points: Array) -> Array:
    """(n, 3) colours at the nearest pixels to (n, 2) points."""
    limits = np.array([rgb.shape[1] - 1, rgb.shape[0] - 1])
    x, y = np.clip(np.round(points), 0, limits).astype(int).T
    return np.asarray(rgb[y, x], dtype=np.float64)


@dataclass(frozen=True)
class _Places:
    """Where each pixel of the canvas lies in the mouth; all (h, w) float64, lengths as fractions of H."""

    across: Array
    """From the mouth's middle, to the viewer's right."""
    height: Array
    """Along the face's up axis, from the axes' origin."""
    below_upper: Array
    above_lower: Array
    gap: Array
    between: Array
    """Share of the pixel that lies between the lips."""
    corner: Array
    """0 in the middle, 1 at a corner."""
    pixel: float
    """One pixel."""

    @classmethod
    def of(cls, local: Array, lips: Lips, face_height: float, margin: float) -> "_Places":
        across, height = np.moveaxis(local, -1, 0) / face_height
        upper, lower = lips.upper_at(local[..., 0]) / face_height, lips.lower_at(local[..., 0]) / face_height
        blur = max(1.0 / face_height, _EDGE)
        margin = margin * smoothstep(upper - lower, 0.0, 0.02)
        overlap = np.minimum(upper, height + blur / 2) - np.maximum(lower - margin, height - blur / 2)
        inside = lips.beyond_corner(local[..., 0]) == 0
        corner = np.minimum(np.abs(local[..., 0] - lips.middle) / lips.half_width, 1.0)
        return cls(
            across - lips.middle / face_height,
            height,
            upper - height,
            height - lower,
            upper - lower,
            np.clip(overlap / blur, 0.0, 1.0) * inside,
            corner,
            1.0 / face_height,
        )


@dataclass(frozen=True)
class Inside:
    """One source frame's mouth from within; its lips are in pixels of `rgb`."""

    rgb: Pixels
    shape: Shape
    source: Lips
    palette: Palette
    tooth_line: tuple[float, float]
    """Height of the upper teeth's edge amid the mouth, of H, and how it rises along `side`."""

    @classmethod
    def of(cls, rgb: Pixels, shape: Shape) -> "Inside":
        """From a face's pixels, (h, w, 3) uint8, and its points in them."""
        source = Lips.of(shape, Pose())
        shut = Lips.of(shape, shape.pose(Viseme(0.0, 0.0, 0.0)))
        middle = float(shut.upper_at(np.array(shut.middle)))
        slope = float(shut.upper[-1] - shut.upper[0]) / (2 * shut.half_width)
        line = (middle / shape.axes.height - _TEETH, slope)
        return cls(rgb, shape, source, Palette.of(rgb, shape), line)

    def paint(self, canvas: Colours, local: Array, lips: Lips) -> Colours:
        """The canvas with what shows between `lips`, (h, w, 3) float, RGB.

        Args:
            canvas: the warped face, (h, w, 3) float.
            local: its pixels' places in the face's axes, (h, w, 2), in pixels.
            lips: the inner edges after the warp.
        """
        clinging = _LIP_MARGIN * self._shows * self._widened(lips)
        places = _Places.of(local, lips, self.shape.axes.height, clinging)
        colour = self._cavity(places)
        colour = self._tongue(colour, places)
        colour = self._teeth(colour, places)
        colour = self._own(colour, places, local, lips)
        return _mix(canvas * self._contact(places)[..., None], colour, places.between)

    def _cavity(self, places: _Places) -> Array:
        """Darkest under the upper lip and in the corners, tinted by the lips."""
        lit = 0.45 * smoothstep(places.above_lower, 0.05, 0.0) * (1.0 - places.corner)
        return self.palette.dark + (self.palette.flesh - self.palette.dark) * lit[..., None]

    def _tongue(self, colour: Array, places: _Places) -> Array:
        """A flesh-coloured mound above the lower lip, where there is room for one."""
        mound = 0.42 * places.gap * (1.0 - (places.corner / 0.75) ** 2)
        cover = smoothstep(mound - places.above_lower, -0.008, 0.012) * smoothstep(places.gap, 0.045, 0.085)
        light = 0.75 + 0.35 * smoothstep(places.corner, 0.6, 0.1)
        return _mix(colour, self.palette.flesh * light[..., None], 0.85 * cover)

    def _teeth(self, colour: Array, places: _Places) -> Array:
        """The arch of single teeth, rounded at their edges, darker to the corners and under the lip."""
        width = self.shape.axes.mouth_width / self.shape.axes.height
        x = np.abs(places.across) / width
        tooth = np.clip(np.searchsorted(_TOOTH_ENDS, x, side="right") - 1, 0, len(_TOOTH_SHORTER) - 1)
        start, end = _TOOTH_ENDS[tooth], _TOOTH_ENDS[tooth + 1]
        t = np.clip((2 * x - start - end) / (end - start), -1.0, 1.0)
        seen = min(1.0, 0.1 * width / places.pixel / 6)  # single teeth only where they are wide enough
        middle, slope = self.tooth_line
        rounded = _TOOTH_SHORTER[tooth] + 0.006 * t**6
        edge = middle + slope * places.across + 0.14 * width * x**2 + seen * rounded
        light = 1.0 - 0.75 * smoothstep(x, 0.12, 0.47)
        light *= 1.0 - 0.13 * seen * smoothstep(np.abs(t), 0.7, 1.0)
        light *= 0.78 + 0.22 * smoothstep(places.below_upper, 0.0, 0.014)
        teeth = _mix(np.broadcast_to(self.palette.dark, colour.shape), self.palette.teeth, light)
        return _mix(colour, teeth, _edge(places.height - edge, places.pixel))

    def _own(self, colour: Array, places: _Places, local: Array, lips: Lips) -> Array:
        """What the source shows there itself: all of it in an unmoved mouth, its upper part in a wider one."""
        height = self.shape.axes.height
        still = (1.0 - self._widened(lips)) * max(1.0 - self.shape.parted, self._shows)
        upper, lower = self.source.upper_at(local[..., 0]), self.source.lower_at(local[..., 0])
        margin = np.minimum(_LIP_MARGIN * height, 0.5 * (upper - lower))
        kept = np.clip(local[..., 1], lower + margin, upper - margin)
        place = local.copy()
        place[..., 1] += (1.0 - still) * (kept - local[..., 1])
        x, y = np.moveaxis(self.shape.axes.outside(place), -1, 0).astype(np.float32)
        own = cv2.remap(self.rgb, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        reaches = smoothstep((local[..., 1] - lower) / height, -_LIP_MARGIN, 0.0)
        thick = smoothstep((upper - lower) / height, _LIP_MARGIN, 3 * _LIP_MARGIN)
        return _mix(colour, own, np.maximum(self._shows * reaches * thick, still))

    def _contact(self, places: _Places) -> Array:
        """The dark line where lips touch; a source with shut lips has its own."""
        width = max(0.0045, 0.6 * places.pixel)
        line = np.exp(-0.5 * ((places.below_upper + 0.5 * places.gap) / width) ** 2)
        touching = smoothstep(places.gap, 0.02, 0.004) * smoothstep(places.corner, 1.0, 0.8)
        return 1.0 - 0.4 * self.shape.parted * line * touching

    def _widened(self, lips: Lips) -> float:
        """0 where the mouth is open no wider than the source's, 1 where it clearly is."""
        return float(smoothstep(np.array((lips.gap - self.source.gap) / self.shape.axes.height), 0.0, 0.015))

    @cached_property
    def _shows(self) -> float:
        """1 where the source's lips are open and show teeth: something clearly brighter than lips."""
        upper, lower = (self.shape.points[edge][2:9] for edge in (UPPER_INNER, LOWER_INNER))
        amid = np.concatenate([0.3 * lower + 0.7 * upper, 0.5 * lower + 0.5 * upper])
        brightness = float(np.percentile(_at(self.rgb, amid) @ _LUMA, 70))
        lips, teeth = float(self.palette.lips @ _LUMA), float(self.palette.teeth @ _LUMA)
        return self.shape.parted * float(smoothstep(np.array((brightness - lips) / (teeth - lips)), 0.15, 0.5))


def _mix(below: Array, above: Array, cover: Array) -> Array:
    return np.asarray(below + (above - below) * np.asarray(cover)[..., None])


def _edge(distance: Array, pixel: float) -> Array:
    """1 where `distance` is positive, 0 where it is negative, a soft step between."""
    return np.clip(distance / max(pixel, _EDGE) + 0.5, 0.0, 1.0)
