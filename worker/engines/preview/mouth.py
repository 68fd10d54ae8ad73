"""What shows between parted lips: the source's own teeth where it shows them, drawn ones where not, and the dark.

Upper teeth belong to the skull: they stand still while the lips move over them. The tongue goes with the jaw.
H is the face's height, W its mouth's width.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from worker.engines.preview.axes import Array
from worker.engines.preview.lips import Lips
from worker.engines.preview.palette import Palette, colours
from worker.engines.preview.shape import Pose, Shape
from worker.engines.preview.smoothstep import smoothstep
from worker.engines.preview.voice import Viseme
from worker.media.frame import Pixels

# Upper teeth from the middle outwards: where each ends, of W (widths of 8.5, 6.5, 7, 6.5 and 6 mm, the outer ones
# seen from the side, in a mouth of 55 mm), and by how much of H each is shorter than the first.
_TOOTH_ENDS = np.cumsum([0.0, 0.145, 0.11, 0.10, 0.075, 0.06])
_TOOTH_SHORTER = np.array([0.0, 0.005, 0.002, 0.005, 0.008])
_TOOTH_ROUND = 0.006  # of H, the height of a tooth's rounded corners
_TOOTH_LEAST_PX = 6.0  # narrower teeth are one white band
_TEETH_BELOW_LIP = 0.014  # of H, how far teeth stand out below a shut upper lip
_TEETH_HIDDEN = 0.008  # of H, how much the lower lip hides of the teeth that a source shows
_ARCH = 0.14  # how much of the way outwards, squared, the teeth's edge rises; both of W

_SOFT = 0.005  # of H: how soft edges are, if that is more than a pixel
_SEAM = 0.0045  # of H: half the width of the dark line where lips touch
_WIDER = 0.015  # of H, over the source's gap: a mouth that shows more than the source does
_LIP_EDGE = 0.009  # of H: how inexact the mesh's lip edge is; inside is what lies this far from it
_OWN_CORNERS = (0.65, 0.95)  # from the mouth's middle to a corner: a smile's corners are warped, not painted
_CLINGING, _CLINGING_MOST = 0.008, 0.03  # of H: teeth on the lower lip's side of its edge


@dataclass(frozen=True)
class _Places:
    """Where pixels lie in the mouth; (h, w) float64 each, lengths as fractions of H."""

    across: Array
    """From the mouth's middle along the side axis."""
    height: Array
    """From the axes' origin along the up axis."""
    below_upper: Array
    above_lower: Array
    gap: Array
    corner: Array
    """0 in the middle, 1 at a corner and beyond."""
    between: Array
    """How much of the pixel lies between the lips."""

    @classmethod
    def of(cls, places: Array, lips: Lips, face_height: float) -> "_Places":
        """From (h, w, 2) places in the face's axes, in pixels."""
        across, height = places[..., 0], places[..., 1]
        upper, lower = lips.upper_at(across), lips.lower_at(across)
        corner = np.minimum(np.abs(across - lips.middle) / lips.half_width, 1.0)
        soft = max(1.0, _SOFT * face_height)
        overlap = np.minimum(upper, height + soft / 2) - np.maximum(lower, height - soft / 2)
        return cls(
            across=(across - lips.middle) / face_height,
            height=height / face_height,
            below_upper=(upper - height) / face_height,
            above_lower=(height - lower) / face_height,
            gap=(upper - lower) / face_height,
            corner=corner,
            between=np.clip(overlap / soft, 0.0, 1.0) * (corner < 1.0),
        )


@dataclass(frozen=True)
class Inside:
    """One source frame's mouth from within; `source` are its lips, in the pixels of `rgb`."""

    rgb: Pixels
    shape: Shape
    palette: Palette
    source: Lips

    @classmethod
    def of(cls, rgb: Pixels, shape: Shape) -> "Inside":
        """From a face's pixels, (h, w, 3) uint8, and its points in them."""
        return cls(rgb, shape, Palette.of(rgb, shape), Lips.of(shape, Pose()))

    def paint(self, canvas: Pixels, points: Array, lips: Lips) -> Pixels:
        """The canvas, (h, w, 3) uint8, with what shows between `lips`; (h, w, 2) x and y are its `points`."""
        local = self.shape.axes.inside(points)
        places = _Places.of(local, self._let_go_of_teeth(lips), self._face_height)
        inside = self._with_tongue(self._cavity(places), places)
        inside = self._with_teeth(inside, places)
        inside = self._with_source(inside, local, lips)
        cover = places.between * (1.0 - self.palette.shows_teeth * smoothstep(places.corner, *_OWN_CORNERS))
        painted = _over(canvas * self._seam_shade(places, lips)[..., None], inside, cover)
        return np.clip(np.round(painted), 0, 255).astype(np.uint8)

    def _cavity(self, places: _Places) -> Array:
        """Dark, lighter in the middle and towards the lower lip, whose inner side catches light."""
        light = 0.5 * smoothstep(places.above_lower, 0.06, 0.0) * (1.0 - 0.5 * places.corner)
        cavity = self.palette.dark + (self.palette.flesh - self.palette.dark) * light[..., None]
        return _over(cavity, 0.6 * self.palette.lips, 0.8 * smoothstep(places.above_lower, 0.014, 0.0))

    def _with_tongue(self, below: Array, places: _Places) -> Array:
        """A mound above the lower lip, once there is room for one."""
        top = 0.42 * places.gap * (1.0 - (places.corner / 0.75) ** 2)
        cover = smoothstep(top - places.above_lower, -0.008, 0.012) * smoothstep(places.gap, 0.045, 0.085)
        light = 0.6 + 0.3 * smoothstep(places.corner, 0.6, 0.1)
        return _over(below, self.palette.flesh * light[..., None], 0.85 * cover)

    def _with_teeth(self, below: Array, places: _Places) -> Array:
        """Single upper teeth with rounded edges, in the shade of the upper lip and of the corners."""
        mouth_width = self.shape.axes.mouth_width / self._face_height
        x = np.abs(places.across) / mouth_width
        tooth = np.clip(np.searchsorted(_TOOTH_ENDS, x, side="right") - 1, 0, len(_TOOTH_SHORTER) - 1)
        start, end = _TOOTH_ENDS[tooth], _TOOTH_ENDS[tooth + 1]
        side = np.minimum(np.abs(2 * x - start - end) / (end - start), 1.0)  # 0 amid a tooth, 1 at its sides
        single = min(1.0, _TOOTH_ENDS[1] * self.shape.axes.mouth_width / _TOOTH_LEAST_PX)
        middle, slope = self._teeth_line
        edge = middle + slope * places.across + _ARCH * mouth_width * x**2
        edge = edge + single * (_TOOTH_SHORTER[tooth] + _TOOTH_ROUND * side**6)
        light = 1.0 - 0.75 * smoothstep(x, 0.12, 0.47)
        light *= 1.0 - 0.13 * single * smoothstep(side, 0.7, 1.0)
        light *= 0.78 + 0.22 * smoothstep(places.below_upper, 0.0, 0.014)
        teeth = self.palette.dark + (self.palette.teeth - self.palette.dark) * light[..., None]
        soft = max(1.0 / self._face_height, _SOFT)
        return _over(below, teeth, np.clip((places.height - edge) / soft + 0.5, 0.0, 1.0))

    def _with_source(self, below: Array, local: Array, lips: Lips) -> Array:
        """What the source shows: all of it in a mouth that opens no wider, in a wider one its teeth."""
        still = (1.0 - self._wider(lips)) * max(1.0 - self.shape.parted, self.palette.shows_teeth)
        across, height = local[..., 0], local[..., 1]
        upper, lower = self.source.upper_at(across), self.source.lower_at(across)
        inexact = _LIP_EDGE * self._face_height
        margin = np.minimum(inexact, 0.5 * (upper - lower))
        nearest = np.clip(height, lower + margin, upper - margin)
        fetched_at = np.stack([across, height + (1.0 - still) * (nearest - height)], axis=-1)
        x, y = np.moveaxis(self.shape.axes.outside(fetched_at), -1, 0).astype(np.float32)
        fetched = cv2.remap(self.rgb, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        source = np.asarray(fetched, dtype=np.float64)
        corner = np.abs(across - self.source.middle) / self.source.half_width
        hidden = _TEETH_HIDDEN * self._face_height * np.maximum(1.0 - (corner / 0.75) ** 2, 0.0)
        reaches = smoothstep((height - lower + hidden) / inexact, -1.0, 0.0)
        has_teeth = reaches * smoothstep((upper - lower) / inexact, 1.0, 3.0)
        return _over(below, source, np.maximum(self.palette.shows_teeth * has_teeth, still))

    def _seam_shade(self, places: _Places, lips: Lips) -> Array:
        """Light left along the line where lips touch; a source with shut lips has that line itself."""
        half = max(_SEAM, 0.6 / self._face_height)
        line = np.exp(-0.5 * ((places.below_upper + 0.5 * places.gap) / half) ** 2)
        shut = self.shape.parted * smoothstep(lips.gap, 0.02 * self._face_height, 0.004 * self._face_height)
        return 1.0 - 0.4 * (_SEAM / half) * shut * line * smoothstep(places.corner, 1.0, 0.8)

    def _let_go_of_teeth(self, lips: Lips) -> Lips:
        """Lips without the teeth that an inexact lower edge would take along."""
        corner = (lips.across - lips.middle) / lips.half_width
        depth = self._clinging * self.palette.shows_teeth * self._wider(lips)
        return replace(lips, lower=lips.lower - depth * (1.0 - corner**2))

    def _wider(self, lips: Lips) -> float:
        """0 where the mouth is open no wider than the source's, 1 where it clearly is."""
        return float(smoothstep(lips.gap - self.source.gap, 0.0, _WIDER * self._face_height))

    @cached_property
    def _clinging(self) -> float:
        """How far the source's teeth reach below the lower lip's edge, in pixels; typical of its middle half."""
        depths = np.linspace(0.0, _CLINGING_MOST * self._face_height, 12)[:, None]
        middle = slice(len(self.source.across) // 4, -len(self.source.across) // 4)
        places = np.broadcast_arrays(self.source.across[middle], self.source.lower[middle] - depths)
        found = colours(self.rgb, self.shape.axes.outside(np.stack(places, axis=-1)))
        teeth = np.minimum.accumulate(smoothstep(self.palette.toothlike(found), 0.2, 0.5), axis=0)
        return float(np.median(teeth.mean(axis=0)) * depths[-1, 0]) + _CLINGING * self._face_height

    @cached_property
    def _teeth_line(self) -> tuple[float, float]:
        """Height of the upper teeth's edge amid the mouth, of H, and its rise along the side axis."""
        shut = Lips.of(self.shape, self.shape.pose(Viseme(0.0, 0.0, 0.0)))
        middle = float(shut.upper[len(shut.upper) // 2]) / self._face_height
        return middle - _TEETH_BELOW_LIP, float(shut.upper[-1] - shut.upper[0]) / (2 * shut.half_width)

    @property
    def _face_height(self) -> float:
        return self.shape.axes.height


def _over(below: Array, above: Array, cover: Array) -> Array:
    """`above` laid over `below`, (h, w, 3), where `cover`, (h, w), is 1."""
    return np.asarray(below + (above - below) * cover[..., None])
