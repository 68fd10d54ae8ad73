"""The pixels of libav's planes as arrays."""

from typing import Any, cast

import numpy as np
from av.video.plane import VideoPlane
from numpy.typing import NDArray


def pixels(plane: VideoPlane) -> NDArray[np.uint8]:
    """The visible part of an 8-bit plane, (height, width); a view, writing to it writes the frame."""
    rows = np.frombuffer(cast(Any, plane), np.uint8).reshape(-1, plane.line_size)
    return np.asarray(rows[: plane.height, : plane.width])
