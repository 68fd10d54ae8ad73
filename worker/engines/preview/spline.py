"""Thin-plate splines: the smoothest surface through values at scattered points (Bookstein 1989)."""

import numpy as np
from numpy.typing import NDArray

from worker.engines.preview.axes import Array

_STIFFNESS = 1e-4  # keeps the system solvable where points fall together, as in a profile


def basis(places: Array, knots: Array) -> NDArray[np.float32]:
    """(k, n + 3): r² log r from (k, 2) places to (n, 2) knots, then 1, x, y."""
    places, knots = places.astype(np.float32), knots.astype(np.float32)
    squared = (places[:, None, 0] - knots[:, 0]) ** 2 + (places[:, None, 1] - knots[:, 1]) ** 2
    bending = 0.5 * squared * np.log(squared + np.float32(1e-12))
    return np.hstack([bending, np.ones((len(places), 1), dtype=np.float32), places])


def weights(knots: Array, values: Array) -> NDArray[np.float32]:
    """(n + 3, m): what `basis` is multiplied with to pass through (n, m) values at (n, 2) knots."""
    count = len(knots)
    system = np.zeros((count + 3, count + 3))
    system[:count] = basis(knots, knots)
    system[:count, :count] += _STIFFNESS * np.eye(count)
    system[count:, :count] = system[:count, count:].T
    solved = np.linalg.solve(system, np.vstack([values, np.zeros((3, values.shape[1]))]))
    return np.asarray(solved, dtype=np.float32)
