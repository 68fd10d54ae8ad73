"""The lips of one track, from frames that come and go to features that stay."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.networks.syncnet import WINDOW, Features
from worker.evaluation.syncnet.face_crop import crop
from worker.evaluation.syncnet.face_track import LEAST_DETECTIONS, Track
from worker.media.frame import Frame, Pixels

_AT_ONCE = 20 + WINDOW - 1
"""Crops that wait for one another, as many as one run of the network takes."""
_AT_FIRST = 150
"""Crops that wait until it is known whether the track is long enough to count at all; 23 MB."""


class Looking(Protocol):
    """The network's stream that sees."""

    def lips(self, crops: NDArray[np.uint8]) -> Features:
        """(k - 4, 1024) of (k, 224, 224, 3) uint8, BGR."""


class LipFeatures:
    """A row for every 5 frames in a row of a track, made as soon as its squares are settled."""

    def __init__(self, track: Track, network: Looking) -> None:
        self.track, self._network = track, network
        self.next = track.first
        """The first frame that is still needed."""
        self._crops: list[Pixels] = []
        self._rows: list[Features] = []

    def take(self, frames: Mapping[int, Frame]) -> None:
        """Crop what is settled. `frames` holds all from `next` to the last that was tracked."""
        for index in range(self.next, self.track.settled):
            self._crops.append(crop(frames[index], self.track.square(index)))
            if len(self._crops) >= (_AT_ONCE if self._counts else _AT_FIRST):
                self._look()
        self.next = max(self.next, self.track.settled)

    def finished(self) -> Features:
        """All rows, (frames - 4, 1024); of a track that has ended, has been taken in whole and has 5 frames or more."""
        if len(self._crops) >= WINDOW:
            self._look()
        return np.concatenate(self._rows)

    @property
    def _counts(self) -> bool:
        return self.track.detections > LEAST_DETECTIONS

    def _look(self) -> None:
        self._rows.append(self._network.lips(np.stack(self._crops)))
        del self._crops[: 1 - WINDOW]
