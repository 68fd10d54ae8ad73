"""The port of every engine: `setup` once, `listen` once a job, `prepare` and `generate` for every frame with a face.

An engine gets face crops and audio and gives mouths. It knows nothing of files, queues or S3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from worker.faces.face import Face
from worker.media.frame import Box, Pixels


@dataclass(frozen=True)
class Crop:
    """What an engine sees of one source frame.

    `rgb` is (h, w, 3) uint8 of the frame's pixels in `box`; `face.points` stay in frame pixels.
    """

    rgb: Pixels
    box: Box
    face: Face


@dataclass(frozen=True)
class Mouth:
    """What an engine draws into one frame.

    `rgb` is (h, w, 3) uint8 for the pixels of `box` (on the chroma grid), `alpha` (h, w) float32, 0 (the frame
    as it was) to 1 (the drawing). Outside `box`, and where alpha is 0, the frame stays bit-exact.
    """

    rgb: Pixels
    alpha: NDArray[np.float32]
    box: Box


class Engine(Protocol):
    """One way to redraw mouths. `Prepared` and the features are the engine's own types."""

    name: str
    batch_size: int

    def setup(self) -> None:
        """Load the weights; once per process."""

    def listen(self, samples: NDArray[np.float32], frames: int) -> Sequence[Any]:
        """One feature per output frame from mono 16 kHz audio in -1..1; beyond its end is silence."""

    def region(self, face: Face, width: int, height: int) -> Box:
        """The part of a frame of that size that `prepare` wants to see, on the chroma grid."""

    def prepare(self, crop: Crop) -> Any:
        """What depends on the source frame alone; the same frame may be asked for again."""

    def generate(self, prepared: Sequence[Any], features: Sequence[Any]) -> list[Mouth]:
        """One mouth per pair; the two sequences are equally long, at most `batch_size`."""
