"""The line along which lips part: two curves over the mouth's width, in the face's own axes."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from worker.engines.preview.axes import Array
from worker.engines.preview.shape import LOWER_INNER, UPPER_INNER, Pose, Shape
from worker.engines.preview.smoothstep import smoothstep

_SAMPLES = 65
_BLUR = np.hanning(11)[1:-1] / np.hanning(11)[1:-1].sum()  # rounds the polygon of eleven points an edge


@dataclass(frozen=True)
class Lips:
    """The inner edges of both lips: heights `upper` >= `lower` over the places `across`, each (65,), in pixels.

    `across` rises along the face's side axis from corner to corner, heights rise along its up axis.
    """

    across: Array
    upper: Array
    lower: Array

    @classmethod
    def of(cls, shape: Shape, pose: Pose) -> "Lips":
        """The lips of a face in that pose; where they would cross they meet."""
        places = shape.axes.inside(shape.moved(pose))
        left, right = places[UPPER_INNER[0], 0], places[UPPER_INNER[-1], 0]
        across = np.linspace(left, max(right, left + 1.0), _SAMPLES)
        upper, lower = _curve(across, places[UPPER_INNER]), _curve(across, places[LOWER_INNER])
        crossed = np.maximum(lower - upper, 0.0) / 2
        return cls(across, upper + crossed, lower - crossed)

    @cached_property
    def gap(self) -> float:
        """In the middle of the mouth."""
        return float(self.upper[_SAMPLES // 2] - self.lower[_SAMPLES // 2])

    @cached_property
    def middle(self) -> float:
        """The place amid the corners."""
        return float(self.across[-1] + self.across[0]) / 2

    @cached_property
    def half_width(self) -> float:
        """From the middle to a corner."""
        return float(self.across[-1] - self.across[0]) / 2

    def edges(self) -> Array:
        """(130, 2) places of the upper and the lower edge."""
        upper, lower = (np.stack([self.across, edge], axis=-1) for edge in (self.upper, self.lower))
        return np.concatenate([upper, lower])

    def upper_at(self, across: Array) -> Array:
        """The upper lip's edge at those places; beyond a corner, the corner's height."""
        return np.asarray(np.interp(across, self.across, self.upper))

    def lower_at(self, across: Array) -> Array:
        """The lower lip's edge at those places; beyond a corner, the corner's height."""
        return np.asarray(np.interp(across, self.across, self.lower))

    def below_seam(self, places: Array, blur: float) -> Array:
        """(...): 1 on the lower lip's side of (..., 2) places, 0 on the upper's.

        The step between is `blur` px wide between the corners and widens outside of them, where both sides are
        one cheek.
        """
        across = places[..., 0]
        seam = 0.5 * (self.upper_at(across) + self.lower_at(across))
        beyond_corner = np.maximum(np.abs(across - self.middle) - self.half_width, 0.0)
        return smoothstep((seam - places[..., 1]) / (0.5 * blur + beyond_corner), -1.0, 1.0)


def _curve(across: Array, points: Array) -> Array:
    order = np.argsort(points[:, 0], kind="stable")
    heights = np.interp(across, points[order, 0], points[order, 1])
    padded = np.pad(heights, len(_BLUR) // 2, mode="reflect", reflect_type="odd")
    return np.convolve(padded, _BLUR, mode="valid")
