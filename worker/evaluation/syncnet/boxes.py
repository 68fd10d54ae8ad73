"""Boxes around faces, in fractions of pixels."""

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]
"""(n, 4) float64: left, top, right, bottom in pixels of the frame; they may lie partly outside. The surest first."""
FaceBox = NDArray[np.float64]
"""(4,) float64: one of them."""


def overlaps(box: FaceBox, others: Boxes) -> NDArray[np.float64]:
    """Intersection over union with each of the others, (n,), 0 to 1."""
    corners = np.concatenate([np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])], axis=1)
    common = np.prod(np.maximum(corners[:, 2:] - corners[:, :2], 0), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    return np.asarray(common / (np.prod(box[2:] - box[:2]) + areas - common))
