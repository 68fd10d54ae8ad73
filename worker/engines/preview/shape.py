"""Where the points of a face go when it speaks: the face's own axes, and two moves of its lower half.

Lengths that fit every face are fractions of H, forehead to chin, or of W, mouth corner to mouth corner.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from worker.engines.preview.voice import Viseme
from worker.faces.face import CHIN, FOREHEAD, INNER_LIP_BOTTOM, INNER_LIP_TOP, MOUTH_LEFT, MOUTH_RIGHT, Points

Array = NDArray[np.float64]

# Indices into the 468-point mesh; lips run from the viewer's left corner to the right one.
UPPER_INNER = np.array([78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308])
LOWER_INNER = np.array([78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308])
UPPER_LIP = np.concatenate([UPPER_INNER, [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291]])
LOWER_LIP = np.concatenate([LOWER_INNER, [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291]])
UNDER_LIP = np.array([83, 18, 313])
CHIN_PAD = np.array([182, 406, 201, 421, 208, 428, 171, 396, 200, 199, 175])
JAW_LINE = np.array([172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397])
NOSE = np.array([6, 197, 4, 2, 98, 327, 129, 358])
EYES = np.array([33, 133, 145, 362, 263, 374])
CHEEKS = np.array([50, 280, 101, 330, 205, 425, 123, 352, 147, 376])
FACE_SIDES = np.array([127, 356, 234, 454, 93, 323, 132, 361, 58, 288])
LOWER_FACE = np.concatenate([JAW_LINE, FACE_SIDES, NOSE])
NOSE_BASE, NOSE_TIP, LEFT_EDGE, RIGHT_EDGE = 2, 4, 234, 454

_NECK_BELOW = np.array([172, 150, 176, 152, 400, 379, 397])  # of the jaw line
_NECK_DISTANCE = 0.19  # of H, outside the jaw line: here the neck and the background stay still

_WIDEST_GAP = 0.105  # of H, between the inner lips at openness 1
_SHUT_ALREADY, _OPEN_ALREADY = 0.018, 0.035  # of H: up to here a source's gap is the dark line of shut lips
_PRESS = 0.012  # of H: shut lips overlap, since the mesh's edges are not exact and teeth may cling to them
_SPREAD, _ROUNDED = 0.05, 0.075  # of W, how far each corner moves out or in

# Shares of one pixel between the lips, along the face's up axis; the lower lip has what the upper one leaves.
_UPPER_SHARE, _CORNER_SHARE = 0.22, -0.15
_RAISED = 0.6  # a smile's upper lip is raised already
_CHIN_SHARE, _JAW_SHARE = -0.70, -0.62
_BOW = 0.9  # how fast the lips part from the corners inwards: 0.5 an ellipse, 1 a parabola
_FRONTAL, _PROFILE = 0.3, 0.08  # the nose tip's place between the face's edges, 0.5 straight ahead


@dataclass(frozen=True)
class Axes:
    """A face's own frame: `origin` amid the mouth's corners, `side` to the viewer's right, `up` to the forehead.

    Vectors are (2,) float64, of length 1, and stand upright on each other; lengths are in pixels.
    """

    origin: Array
    up: Array
    height: float
    mouth_width: float
    frontality: float
    """1 facing the camera, 0 in profile."""

    @classmethod
    def of(cls, points: Points) -> "Axes":
        """The axes of 468 mesh points."""
        p = points.astype(np.float64)
        up = p[FOREHEAD] - p[CHIN]
        height = max(float(np.hypot(*up)), 1.0)
        width = max(float(np.hypot(*(p[MOUTH_RIGHT] - p[MOUTH_LEFT]))), 0.05 * height)
        return cls((p[MOUTH_LEFT] + p[MOUTH_RIGHT]) / 2, up / height, height, width, _frontality(p))

    @property
    def side(self) -> Array:
        """Upright on `up`, to the viewer's right on an unmirrored upright face."""
        return np.array([-self.up[1], self.up[0]])

    @property
    def basis(self) -> Array:
        """(2, 2): rows are `side` and `up`."""
        return np.stack([self.side, self.up])

    def inside(self, pixels: Array) -> Array:
        """(..., 2) pixels x, y as lengths along `side` and `up` from the origin."""
        return np.asarray((pixels - self.origin) @ self.basis.T)

    def outside(self, local: Array) -> Array:
        """The inverse of `inside`."""
        return np.asarray(local @ self.basis + self.origin)


@dataclass(frozen=True)
class Pose:
    """How far a mouth moves from the source's.

    `opening` widens its gap, in pixels; `shutting` takes away that share of the gap; `stretch` moves each corner
    outwards, in pixels.
    """

    opening: float = 0.0
    shutting: float = 0.0
    stretch: float = 0.0

    @property
    def weights(self) -> Array:
        """(3,): of the three modes of `Shape.modes`."""
        return np.array([self.opening, self.shutting, self.stretch])


@dataclass(frozen=True)
class Shape:
    """A face's points, and how they answer a pose."""

    points: Points
    """(468, 2) float32 in pixels."""

    @cached_property
    def axes(self) -> Axes:
        """The face's own frame."""
        return Axes.of(self.points)

    @cached_property
    def gap(self) -> float:
        """Between the middles of the source's inner lips, in pixels, at least 0."""
        upper, lower = self._local[INNER_LIP_TOP], self._local[INNER_LIP_BOTTOM]
        return max(float(upper[1] - lower[1]), 0.0)

    @cached_property
    def parted(self) -> float:
        """0 where the source's lips are shut, 1 where they are open."""
        return float(smoothstep(np.array(self.gap / self.axes.height), _SHUT_ALREADY, _OPEN_ALREADY))

    @property
    def shut_gap(self) -> float:
        """The gap at openness 0: a source that is shut stays as it is, one that is open is shut."""
        return (1.0 - self.parted) * self.gap

    def pose(self, viseme: Viseme) -> Pose:
        """What this face must do to show that viseme; a profile does less."""
        widest = _WIDEST_GAP * self.axes.height * self.axes.frontality
        target = self.shut_gap + viseme.openness * (1.0 - 0.3 * viseme.rounding) * widest
        spread = _SPREAD * viseme.width - _ROUNDED * viseme.rounding
        return Pose(
            opening=max(target - self.gap, 0.0),
            shutting=max(self.gap - target, 0.0) / max(self.gap, 1.0),
            stretch=spread * self.axes.mouth_width * self.axes.frontality,
        )

    def moved(self, pose: Pose) -> Array:
        """(468, 2) float64: the points in that pose."""
        return np.asarray(self.points + np.tensordot(pose.weights, self.modes, axes=1))

    @cached_property
    def modes(self) -> Array:
        """(3, 468, 2): the points' moves for one pixel of opening, for shutting, for one pixel of stretch."""
        left, right = self._local[UPPER_INNER[0], 0], self._local[UPPER_INNER[-1], 0]
        across = (2 * self._local[:, 0] - left - right) / max(right - left, 1.0)
        bow = (1.0 - np.minimum(np.abs(across), 1.0) ** 2) ** _BOW
        shut_px = self.gap + _PRESS * self.axes.height
        ups = np.stack([self._up_shares(bow), -shut_px * self._up_shares(self._own_bow(shut_px))])
        lips = np.union1d(UPPER_LIP, LOWER_LIP)
        sides = np.zeros(len(across))
        sides[lips] = across[lips]
        return np.concatenate([ups[..., None] * self.axes.up, sides[None, :, None] * self.axes.side])

    @cached_property
    def neck(self) -> Array:
        """(7, 2) points of neck and background around the jaw that stay where they are."""
        jaw = self.points[_NECK_BELOW].astype(np.float64)
        away = jaw - self.points[NOSE_BASE]
        length = np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1.0)
        return np.asarray(jaw + away / length * _NECK_DISTANCE * self.axes.height)

    @cached_property
    def _local(self) -> Array:
        return self.axes.inside(self.points.astype(np.float64))

    def _own_bow(self, shut_px: float) -> Array:
        """(468,): what it takes to shut the source's lips at each point, 1 in their middle."""
        upper, lower = self._local[UPPER_INNER], self._local[LOWER_INNER]
        order = np.argsort(upper[:, 0], kind="stable")
        gaps = np.maximum(upper[order, 1] - lower[order, 1], 0.0)
        bow = (gaps + _PRESS * self.axes.height * np.sign(gaps)) / shut_px
        return np.clip(np.interp(self._local[:, 0], upper[order, 0], bow), 0.0, 1.5)

    def _up_shares(self, bow: Array) -> Array:
        """(468,): moves along `up` for one pixel between the lips, which part by `bow` (468,) of it at each point."""
        shares = np.zeros(len(bow))
        shares[JAW_LINE] = _JAW_SHARE * self._jaw[JAW_LINE]
        shares[CHIN_PAD] = _CHIN_SHARE * self._jaw[CHIN_PAD]
        shares[UNDER_LIP] = 0.5 * (_UPPER_SHARE - 1.0 + _CHIN_SHARE)
        upper = _UPPER_SHARE * (1.0 - _RAISED * self.parted)
        for lip, share in ((UPPER_LIP, upper), (LOWER_LIP, upper - 1.0)):
            shares[lip] = _CORNER_SHARE + (share - _CORNER_SHARE) * bow[lip]
        return shares

    @cached_property
    def _jaw(self) -> Array:
        """(468,): 1 amid the chin, 0 at the jaw's corners."""
        reach = np.abs(self._local[:, 0])
        return np.asarray(np.cos(0.5 * np.pi * np.minimum(reach / max(reach[JAW_LINE].max(), 1.0), 1.0)) ** 1.2)


def smoothstep(value: Array, low: float, high: float) -> Array:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))


def _frontality(points: Array) -> float:
    """From the nose tip's place between the face's left and right edge."""
    left, right, tip = points[LEFT_EDGE], points[RIGHT_EDGE], points[NOSE_TIP]
    span = right - left
    place = float((tip - left) @ span) / max(float(span @ span), 1.0)
    return float(smoothstep(np.array(min(place, 1.0 - place)), _PROFILE, _FRONTAL))
