"""The line along which lips part: two curves over the mouth's width, in the face's own axes."""

from dataclasses import dataclass

import numpy as np

from worker.engines.preview.shape import LOWER_INNER, UPPER_INNER, Array, Pose, Shape, smoothstep

_SAMPLES = 65
_BLUR = np.hanning(11)[1:-1] / np.hanning(11)[1:-1].sum()  # rounds the corners of eleven points' polygon


@dataclass(frozen=True)
class Lips:
    """The inner edges of both lips: heights `upper` >= `lower` over places `across`, each (65,), in pixels.

    `across` rises along the face's `side` axis, heights rise along `up`.
    """

    across: Array
    upper: Array
    lower: Array

    @classmethod
    def of(cls, shape: Shape, pose: Pose) -> "Lips":
        """The lips of a face in that pose."""
        local = shape.axes.inside(shape.moved(pose))
        upper, lower = local[UPPER_INNER], local[LOWER_INNER]
        left, right = (0.5 * (upper[end] + lower[end])[0] for end in (0, -1))
        across = np.linspace(left, max(right, left + 1.0), _SAMPLES)
        high, low = _curve(across, upper), _curve(across, lower)
        crossed = np.minimum(high - low, 0.0) / 2
        return cls(across, high - crossed, low + crossed)

    @property
    def gap(self) -> float:
        """In the middle of the mouth."""
        return float(self.upper[_SAMPLES // 2] - self.lower[_SAMPLES // 2])

    @property
    def half_width(self) -> float:
        """From the middle to a corner."""
        return float(self.across[-1] - self.across[0]) / 2

    @property
    def middle(self) -> float:
        """The place amid the corners."""
        return float(self.across[-1] + self.across[0]) / 2

    def upper_at(self, across: Array) -> Array:
        """The upper lip's edge at those places; beyond a corner, the corner's height."""
        return np.interp(across, self.across, self.upper)

    def lower_at(self, across: Array) -> Array:
        """The lower lip's edge at those places; beyond a corner, the corner's height."""
        return np.interp(across, self.across, self.lower)

    def beyond_corner(self, across: Array) -> Array:
        """How far those places lie outside the mouth's corners, 0 inside."""
        return np.maximum(np.abs(across - self.middle) - self.half_width, 0.0)

    def below_seam(self, local: Array, blur: float) -> Array:
        """1 for the lower lip's side, 0 for the upper's; (..., 2) places in, (...) out.

        The step between is `blur` px wide between the lips and widens outside their corners, where the two
        sides belong together.
        """
        across = local[..., 0]
        seam = 0.5 * (self.upper_at(across) + self.lower_at(across))
        half = 0.5 * blur + self.beyond_corner(across)
        return smoothstep((seam - local[..., 1]) / half, -1.0, 1.0)


def _curve(across: Array, points: Array) -> Array:
    order = np.argsort(points[:, 0], kind="stable")
    heights = np.interp(across, points[order, 0], points[order, 1])
    padded = np.pad(heights, len(_BLUR) // 2, mode="reflect", reflect_type="odd")
    return np.convolve(padded, _BLUR, mode="valid")
