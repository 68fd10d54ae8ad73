"""The faces of pictures that were looked at are remembered: a source is read again with every video made of it."""

import hashlib
from collections.abc import Callable

from worker.evaluation.syncnet.boxes import Boxes
from worker.media.frame import Frame, Pixels

MOST = 100_000
"""Pictures that are remembered, an hour and more; then the oldest is forgotten."""


class Detections:
    """The faces of frames. What is remembered hangs on a frame's pixels, so that any number of clips may share it."""

    def __init__(self, detect: Callable[[Pixels], Boxes], most: int = MOST) -> None:
        self._detect, self._most = detect, most
        self._known: dict[bytes, Boxes] = {}

    def of(self, frame: Frame) -> Boxes:
        """All faces of that frame, the surest first."""
        key = _fingerprint(frame)
        if key not in self._known:
            self._known[key] = self._detect(frame.rgb())
            if len(self._known) > self._most:
                del self._known[next(iter(self._known))]
        return self._known[key]


def _fingerprint(frame: Frame) -> bytes:
    digest = hashlib.blake2b(repr(frame.y.shape).encode(), digest_size=16)
    for plane in (frame.y, frame.u, frame.v):
        digest.update(plane.tobytes())
    return digest.digest()
