"""The one easing curve of this engine."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def smoothstep(value: NDArray[np.floating[Any]] | float, low: float, high: float) -> NDArray[np.float64]:
    """0 up to `low`, 1 from `high` on, smooth between (3t² - 2t³); falls where `high` is the smaller one."""
    t = np.clip((np.asarray(value, dtype=np.float64) - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))
