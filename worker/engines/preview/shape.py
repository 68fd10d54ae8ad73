"""Where the points of a face go when it speaks.

H is the face's height, forehead to chin; W its mouth's width. Lengths that fit every face are fractions of them.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from worker.engines.preview.axes import Array, Axes
from worker.engines.preview.smoothstep import smoothstep
from worker.engines.preview.voice import Viseme
from worker.faces.face import INNER_LIP_BOTTOM, INNER_LIP_TOP, MOUTH_LEFT, MOUTH_RIGHT, Points
from worker.faces.regions import FIXED, INNER_LIPS, JAW, OUTER_LIPS

# Into the 468-point mesh. Edges of lips run from the viewer's left corner to the right one, both included.
UPPER_INNER, UPPER_OUTER = np.array(INNER_LIPS[:11]), np.array(OUTER_LIPS[:11])
LOWER_INNER, LOWER_OUTER = (np.array([ring[0], *ring[:9:-1]]) for ring in (INNER_LIPS, OUTER_LIPS))
UPPER_LIP, LOWER_LIP = np.append(UPPER_INNER, UPPER_OUTER), np.append(LOWER_INNER, LOWER_OUTER)
LIPS = np.union1d(UPPER_LIP, LOWER_LIP)
UNDER_LIP = np.array([83, 18, 313])
CHIN_PAD = np.array([182, 406, 201, 421, 208, 428, 171, 396, 200, 199, 175])
JAW_LINE, JAW_CORNERS = np.array(JAW[4:17]), np.array(JAW[1:4] + JAW[17:20])
CHEEKS = np.array([50, 280, 101, 330, 205, 425, 123, 352, 147, 376])
STILL = np.union1d([*FIXED, *JAW_CORNERS], CHEEKS)
NOSE_TIP, NOSE_BASE = 4, 2
LOWER_FACE = np.array([*JAW_LINE, *JAW_CORNERS, NOSE_TIP])

_NECK_BELOW = JAW_LINE[::2]
_NECK_DISTANCE = 0.19  # of H, outside the jaw line: there the neck and the background stay still

_WIDEST_GAP = 0.105  # of H, between the inner lips at openness 1
_SHUT, _PARTED = 0.008, 0.022  # of H: gaps that the mesh sees between shut lips, and between open ones
_PRESS = 0.016  # of H: shut lips overlap, since the mesh's edges are not exact and teeth may cling to them
_SPREAD, _ROUNDED = 0.05, 0.075  # of W, how far each corner moves out or in
_ROUNDED_GAP = 0.7  # of its gap is left to a rounded mouth

# Shares of one pixel between the lips, along the face's up axis; the lower lip has what the upper one leaves.
_UPPER_SHARE, _CORNER_SHARE = 0.22, -0.15
_RAISED = 0.6  # of the upper lip's share, and of spreading, has a smile done already
_CHIN_SHARE, _JAW_SHARE = -0.70, -0.62
_BOW, _BOW_PARTED = (
    0.9,
    0.7,
)  # 0.5 parts the lips in an ellipse, 1 in a parabola; open lips part in the middle


@dataclass(frozen=True)
class Pose:
    """How a mouth differs from the source's.

    `opening` widens the gap between the lips, in pixels; `shutting` takes that share of the source's gap away;
    `stretch` moves each corner outwards, in pixels.
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
    """A face's `points`, (468, 2) float32 in pixels, and how they answer a pose."""

    points: Points

    @cached_property
    def axes(self) -> Axes:
        """The face's own frame."""
        return Axes.of(self.points)

    @cached_property
    def gap(self) -> float:
        """Between the middles of the source's inner lips, in pixels, at least 0."""
        return max(float(self._places[INNER_LIP_TOP, 1] - self._places[INNER_LIP_BOTTOM, 1]), 0.0)

    @cached_property
    def parted(self) -> float:
        """0 where the source's lips are shut, 1 where they are open."""
        return float(smoothstep(self.gap / self.axes.height, _SHUT, _PARTED))

    def pose(self, viseme: Viseme) -> Pose:
        """What this face does to show a viseme: it shuts what is open, opens what is shut; a profile does less."""
        shut_gap = (1.0 - self.parted) * self.gap
        share = viseme.openness * (1.0 - (1.0 - _ROUNDED_GAP) * viseme.rounding)
        wider = (shut_gap + share * _WIDEST_GAP * self.axes.height - self.gap) * self.axes.frontality
        spread = _SPREAD * (1.0 - _RAISED * self.parted) * viseme.width
        stretch = (spread - _ROUNDED * viseme.rounding) * self.axes.frontality
        return Pose(
            opening=max(wider, 0.0),
            shutting=max(-wider, 0.0) / self.gap if self.gap else 0.0,
            stretch=stretch * self.axes.mouth_width,
        )

    def moved(self, pose: Pose) -> Array:
        """(468, 2) float64: the points in that pose."""
        return np.asarray(self.points + np.tensordot(pose.weights, self.modes, axes=1))

    @cached_property
    def modes(self) -> Array:
        """(3, 468, 2): the points' moves for one pixel of opening, for shutting, for one pixel of stretch."""
        across = self._across(MOUTH_LEFT, MOUTH_RIGHT)
        inner = np.append(UPPER_INNER, LOWER_INNER)
        across[inner] = self._across(UPPER_INNER[0], UPPER_INNER[-1])[inner]
        bow = (1.0 - np.minimum(np.abs(across), 1.0) ** 2) ** (_BOW + _BOW_PARTED * self.parted)
        ups = np.stack([self._up_shares(bow), -self._up_shares(self._shutting_px, middle=self.gap)])
        sides = np.zeros(len(across))
        sides[LIPS] = across[LIPS]
        return np.concatenate([ups[..., None] * self.axes.up, sides[None, :, None] * self.axes.side])

    @cached_property
    def neck(self) -> Array:
        """(7, 2): places on the neck and in the background, around the jaw, that stay where they are."""
        jaw = self.points[_NECK_BELOW].astype(np.float64)
        away = jaw - self.points[NOSE_BASE]
        length = np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1.0)
        return np.asarray(jaw + away / length * _NECK_DISTANCE * self.axes.height)

    @cached_property
    def _places(self) -> Array:
        return self.axes.inside(self.points.astype(np.float64))

    def _across(self, left: int, right: int) -> Array:
        """(468,): places along `side`, -1 at one point and 1 at the other."""
        side = self._places[:, 0]
        return np.asarray((2 * side - side[left] - side[right]) / max(float(side[right] - side[left]), 1.0))

    @cached_property
    def _shutting_px(self) -> Array:
        """(468,): how far lips must move towards each other to shut, at each point's place along `side`."""
        upper, lower = self._places[UPPER_INNER], self._places[LOWER_INNER]
        order = np.argsort(upper[:, 0], kind="stable")
        gaps = np.maximum(upper[order, 1] - lower[order, 1], 0.0)
        pressed = gaps + _PRESS * self.axes.height * (gaps > 0)
        return np.asarray(np.interp(self._places[:, 0], upper[order, 0], pressed))

    def _up_shares(self, parting: Array, middle: float = 1.0) -> Array:
        """(468,): moves along `up` that part the lips by `parting`, (468,) in pixels; by `middle` in their middle."""
        shares = np.zeros(len(parting))
        shares[JAW_LINE] = middle * _JAW_SHARE * self._jaw[JAW_LINE]
        shares[CHIN_PAD] = middle * _CHIN_SHARE * self._jaw[CHIN_PAD]
        shares[UNDER_LIP] = middle * 0.5 * (_UPPER_SHARE - 1.0 + _CHIN_SHARE)
        upper = _UPPER_SHARE * (1.0 - _RAISED * self.parted)
        corner = middle * _CORNER_SHARE
        shares[UPPER_LIP] = corner + (upper - _CORNER_SHARE) * parting[UPPER_LIP]
        shares[LOWER_LIP] = corner + (upper - 1.0 - _CORNER_SHARE) * parting[LOWER_LIP]
        return shares

    @cached_property
    def _jaw(self) -> Array:
        """(468,): 1 amid the chin, 0 at the jaw's corners."""
        reach = np.abs(self._places[:, 0])
        share = np.minimum(reach / max(float(reach[JAW_LINE].max()), 1.0), 1.0)
        return np.asarray(np.cos(0.5 * np.pi * share) ** 1.2)
