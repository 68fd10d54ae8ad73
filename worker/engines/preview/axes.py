"""A face's own frame: its up axis, its side axis and its size, so that a tilted head talks along its own chin."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.engines.preview.smoothstep import smoothstep
from worker.faces.face import CHIN, FOREHEAD, MOUTH_LEFT, MOUTH_RIGHT, Points

Array = NDArray[np.float64]

_LEFT_EDGE, _RIGHT_EDGE, _NOSE_TIP = 234, 454, 4
_FRONTAL, _PROFILE = 0.3, 0.08  # the nose tip's place between the face's edges, 0.5 straight ahead


@dataclass(frozen=True)
class Axes:
    """`origin` lies amid the mouth's corners, `up` points to the forehead; (2,) float64, pixels and length 1.

    `height` (H, forehead to chin) and `mouth_width` (W, corner to corner) are in pixels. `frontality` is 1 for a
    face towards the camera, 0 in profile.
    """

    origin: Array
    up: Array
    height: float
    mouth_width: float
    frontality: float

    @classmethod
    def of(cls, points: Points) -> "Axes":
        """The axes of (468, 2) mesh points."""
        p = points.astype(np.float64)
        up = p[FOREHEAD] - p[CHIN]
        height = max(float(np.hypot(*up)), 1.0)
        mouth_width = max(float(np.hypot(*(p[MOUTH_RIGHT] - p[MOUTH_LEFT]))), 0.05 * height)
        return cls((p[MOUTH_LEFT] + p[MOUTH_RIGHT]) / 2, up / height, height, mouth_width, _frontality(p))

    @property
    def side(self) -> Array:
        """Upright on `up`; to the viewer's right on a face that is neither tilted nor mirrored."""
        return np.array([-self.up[1], self.up[0]])

    def inside(self, pixels: Array) -> Array:
        """(..., 2) x and y in pixels as places: (..., 2) lengths along `side` and `up` from the origin."""
        return np.asarray((pixels - self.origin) @ np.stack([self.side, self.up], axis=1))

    def outside(self, places: Array) -> Array:
        """The inverse of `inside`."""
        return np.asarray(places @ np.stack([self.side, self.up]) + self.origin)


def _frontality(points: Array) -> float:
    left, right, tip = points[_LEFT_EDGE], points[_RIGHT_EDGE], points[_NOSE_TIP]
    span = right - left
    share = float((tip - left) @ span) / max(float(span @ span), 1.0)
    return float(smoothstep(min(share, 1.0 - share), _PROFILE, _FRONTAL))
