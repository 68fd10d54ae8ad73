"""CSIM: is it still the same person? Cosine of ArcFace's embeddings of a generated frame and of its source frame.

Frame by frame, because lip-sync keeps the pose; the first frame as the only reference, as some have it, measures how
the head turns. The whole face counts, most of which was copied: a blurred mouth costs little, and a difference under
0.03 says nothing.
"""

from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worker import weights
from worker.evaluation.metrics.base import Reading, Sound, View, mean
from worker.evaluation.metrics.quantities import CSIM
from worker.evaluation.networks.arcface import ArcFace, aligned
from worker.media.clock import FPS
from worker.media.frame import Floats, Pixels

WEIGHTS = "arcface"
BATCH = 16
"""Faces at once in the network."""


class Csim:
    """CSIM, the network loaded."""

    quantities = (CSIM,)
    weights: tuple[str, ...] = (WEIGHTS,)
    hears = False

    def __init__(self, network: ArcFace) -> None:
        self._network = network

    def meter(self) -> "CsimMeter":
        """For one video."""
        return CsimMeter(self._network)


@dataclass(frozen=True)
class _Pair:
    """Both faces of one frame, as the network wants them; None where there is none."""

    source: Pixels | None
    generated: Pixels | None


class CsimMeter:
    """A cosine for each frame.

    A frame whose source shows a face and which itself shows none is a failure: it counts as cosine 0, as of
    strangers, and is told in `missing_faces`. A frame without a face in the source takes no part.
    """

    def __init__(self, network: ArcFace) -> None:
        self._network = network
        self._waiting: list[_Pair] = []
        self._cosines: list[float] = []
        self._missing = 0
        self._without_face = 0
        self._second: deque[Floats | None] = deque(maxlen=FPS)
        self._self_sum, self._self_pairs = 0.0, 0

    def see(self, view: View) -> None:
        """The next frame."""
        source = aligned(view.source, view.source_face) if view.source_face else None
        generated = aligned(view.frame, view.face) if view.source_face and view.face else None
        self._without_face += source is None
        self._missing += source is not None and generated is None
        self._waiting.append(_Pair(source, generated))
        if 2 * len(self._waiting) >= BATCH:
            self._run()

    def readings(self, sound: Sound) -> dict[str, Reading]:
        """CSIM; the audio plays no part. `about` holds the source's own similarity a second away: what to expect."""
        self._run()
        own = self._self_sum / self._self_pairs if self._self_pairs else None
        about = {
            "csim_self": own,
            "missing_faces": self._missing,
            "frames_without_face": self._without_face,
        }
        samples = np.array(self._cosines, np.float64).reshape(-1, 1)
        n = len(samples) - self._without_face
        if n == 0:
            return {"csim": Reading(None, 0, "no frame of the source shows a face", about=about)}
        return {"csim": Reading(mean(samples), n, samples=samples, is_per_frame=True, about=about)}

    def _run(self) -> None:
        """What waits, through the network."""
        crops = [each for pair in self._waiting for each in (pair.source, pair.generated) if each is not None]
        found = iter(self._network.embeddings(crops) if crops else ())
        for pair in self._waiting:
            source = None if pair.source is None else next(found)
            generated = None if pair.generated is None else next(found)
            self._cosines.append(_cosine(source, generated))
            self._compare_with_itself(source)
        self._waiting.clear()

    def _compare_with_itself(self, source: Floats | None) -> None:
        """The source's frame with the one a second before."""
        before = self._second[0] if len(self._second) == FPS else None
        if source is not None and before is not None:
            self._self_sum += float(source @ before)
            self._self_pairs += 1
        self._second.append(source)


def load(folder: Path, threads: int) -> Csim:
    """The metric, with the network from the cache folder of weights.

    Raises:
        ConfigurationError: its file is missing or wrong, or ONNX Runtime is not installed.
    """
    return Csim(ArcFace(weights.path(WEIGHTS, folder), threads))


def _cosine(source: Floats | None, generated: Floats | None) -> float:
    """NaN without the source's face, 0 without the generated one's."""
    if source is None:
        return float("nan")
    return 0.0 if generated is None else float(source @ generated)
