"""Whether another shot begins: a few lines on a small grey picture of each frame."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.media.frame import Floats, Frame

WIDTH, HEIGHT = 32, 18
"""Size of the small picture: noise averages out in its pixels, and a moving head changes few of them."""
MIN_CONTRAST = 6.0
"""Standard deviation of luma under which a frame shows nothing: black, a white flash, noise."""
MIN_LIKENESS = 0.5
"""Correlation of two frames of one shot."""


class Cuts:
    """A shot begins where a frame's small grey picture correlates by less than 0.5 with the one before it.

    Correlation ignores brightness and contrast, so that flashes, fades and exposure do not count. A frame
    that shows nothing is passed over: the next is compared with the last that showed something. Slow dissolves
    are not seen.
    """

    def __init__(self) -> None:
        self._before: Floats | None = None

    def begins(self, frame: Frame) -> bool:
        """Asked of every frame in order; False for the very first."""
        small = np.asarray(cv2.resize(frame.y, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.float32)
        contrast = float(small.std())
        if contrast < MIN_CONTRAST:
            return False
        now, before = (small - small.mean()) / contrast, self._before
        self._before = now
        return before is not None and float((now * before).mean()) < MIN_LIKENESS

    def state(self) -> dict[str, NDArray[Any]]:
        """What the next answer depends on besides its frame."""
        return {} if self._before is None else {"before": self._before}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`."""
        self._before = state.get("before")
