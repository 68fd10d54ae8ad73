"""Steady points without lag: the one-euro filter.

G. Casiez, N. Roussel, D. Vogel, "1€ Filter: A Simple Speed-based Low-pass Filter for Noisy Input in
Interactive Systems", CHI 2012, algorithm 1. A point that stands still is smoothed much, one that moves is followed.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.faces.face import Points

Values = NDArray[np.float64]


class OneEuro:
    """The filter for many points at once; the speed is a point's, in face sizes a second.

    The cutoff frequency is `floor` + `slope` x speed, all in Hz; `speed_cutoff` is that of the speed itself.
    """

    def __init__(self, fps: float, floor: float, slope: float, speed_cutoff: float = 1.0) -> None:
        self._fps, self._floor, self._slope = fps, floor, slope
        self._speed_share = share(fps, np.float64(speed_cutoff))
        self._points: Values | None = None
        self._velocity: Values | None = None

    def reset(self) -> None:
        """Forget: the next points are taken as they are."""
        self._points = self._velocity = None

    def smooth(self, points: Points, size: float) -> Points:
        """(n, 2) float32: the next frame's points, smoothed; `size` is the face's, in pixels."""
        if self._points is None or self._velocity is None:
            self._points, self._velocity = points.astype(np.float64), np.zeros(points.shape)
            return points
        velocity = (points - self._points) * (self._fps / size)
        self._velocity = self._velocity + self._speed_share * (velocity - self._velocity)
        speed = np.linalg.norm(self._velocity, axis=-1, keepdims=True)
        self._points = self._points + share(self._fps, self._floor + self._slope * speed) * (
            points - self._points
        )
        return self._points.astype(np.float32)

    def state(self) -> dict[str, NDArray[Any]]:
        """What the next points depend on besides themselves, (n, 2) float64 each; empty after a `reset`."""
        if self._points is None or self._velocity is None:
            return {}
        return {"points": self._points, "velocity": self._velocity}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`, to the last bit."""
        self._points, self._velocity = state.get("points"), state.get("velocity")


def share(fps: float, cutoff: Values | np.float64) -> Values:
    """How much of a new sample a first-order low-pass of that cutoff frequency takes, 0 to 1."""
    return np.asarray(1 / (1 + fps / (2 * math.pi * cutoff)))
