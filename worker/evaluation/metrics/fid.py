"""FID and KID of the face and of the mouth: does what was generated look like what was filmed?

Both are meant for thousands of pictures of many videos. Here the two sets are the same frames of one video, so FID is
far too low for what papers report (the copied parts agree in every frame) and only ranks results of one source.
KID is unbiased here, too: pairs of the same frame are left out of it.
"""

from pathlib import Path

import numpy as np
import torch

from worker import weights
from worker.evaluation.crops import face_box, mouth_box
from worker.evaluation.fid import fid, kid
from worker.evaluation.metrics.base import Reading, Sound, View
from worker.evaluation.metrics.quantities import FID_FACE, FID_MOUTH, KID_FACE, KID_MOUTH
from worker.evaluation.networks.inception import Inception, prepared
from worker.evaluation.spread import Spread
from worker.faces.face import Face
from worker.media.frame import Box, Floats, Frame

WEIGHTS = "inception-fid"
MOST_FRAMES = 4096
"""Frames whose features are kept: 4 x 2048 float32 of each, 134 MB. Of a longer video they are evenly spaced."""
BATCH = 16
"""Pictures at once in the network, the four of four frames."""
FEWEST_FRAMES = 25
"""With a face. Of less than a second there is no distribution."""
ENOUGH_FRAMES = 2048
"""As many as there are features: below, FID's covariances have less than full rank."""

BIASED = (
    "same frames of one video, and fewer than 2,048 of them: only for ranking results of the same source, "
    "not to be compared with published values"
)
SAME_FRAMES = "same frames of one video: not to be compared with published values"

REGIONS = ("face", "mouth")


class Fid:
    """FID and KID, the network loaded."""

    quantities = (FID_FACE, KID_FACE, FID_MOUTH, KID_MOUTH)
    weights: tuple[str, ...] = (WEIGHTS,)
    hears = False

    def __init__(self, network: Inception) -> None:
        self._network = network

    def meter(self) -> "FidMeter":
        """For one video."""
        return FidMeter(self._network)


class FidMeter:
    """Features of the face and mouth, generated and source, at boxes of the source's face.

    A frame whose source shows no face (or one without a mouth in the picture) takes no part and is counted.
    """

    def __init__(self, network: Inception) -> None:
        self._network = network
        self._kept: Spread[Floats] = Spread(MOST_FRAMES)
        self._waiting: list[tuple[int, list[torch.Tensor]]] = []
        self._frames = 0
        self._without_face = 0

    def see(self, view: View) -> None:
        """The next frame."""
        boxes = view.source_face and _boxes(view.source_face, view.source)
        if not boxes:
            self._without_face += 1
            return
        position, self._frames = self._frames, self._frames + 1
        if self._kept.wants(position):
            self._waiting.append((position, _pictures(view, boxes)))
        if 4 * len(self._waiting) >= BATCH:
            self._run()

    def readings(self, sound: Sound) -> dict[str, Reading]:
        """All four; the audio plays no part."""
        self._run()
        n = len(self._kept.items)
        if n < FEWEST_FRAMES:
            reason = f"{n} frames show the source's face; {FEWEST_FRAMES} are needed"
            about = {"frames_without_face": self._without_face}
            return {each.name: Reading(None, n, reason, about=about) for each in Fid.quantities}
        features = np.stack(self._kept.items)  # (n, 4, 2048)
        return self._of(REGIONS[0], features[:, :2]) | self._of(REGIONS[1], features[:, 2:])

    def _run(self) -> None:
        """What waits, through the network."""
        if not self._waiting:
            return
        features = self._network.features([each for _, four in self._waiting for each in four])
        for (position, _), four in zip(
            self._waiting, features.reshape(len(self._waiting), 4, -1), strict=True
        ):
            self._kept.add(position, four.copy())  # a view would keep all of the batch
        self._waiting.clear()

    def _of(self, region: str, features: Floats) -> dict[str, Reading]:
        """One region's; features (n, 2, 2048) of the generated and of the source's picture."""
        generated, source = features[:, 0], features[:, 1]
        n = len(features)
        about = {"frames_without_face": self._without_face, "every": self._kept.stride}
        note = {"biased": n < ENOUGH_FRAMES, "note": BIASED if n < ENOUGH_FRAMES else SAME_FRAMES}
        value, deviation = kid(source, generated, paired=True)
        return {
            f"fid_{region}": Reading(fid(source, generated), n, about=about | note),
            f"kid_{region}": Reading(value, n, deviation=deviation, about=about),
        }


def load(folder: Path, threads: int) -> Fid:
    """The metric, with the network from the cache folder of weights.

    Raises:
        ConfigurationError: its file is missing or wrong.
    """
    return Fid(Inception.load(weights.path(WEIGHTS, folder), threads))


def _boxes(face: Face, frame: Frame) -> tuple[Box, Box] | None:
    """Of the face and of the mouth; None where one of them lies outside of the frame."""
    both = face_box(face, frame.width, frame.height), mouth_box(face, frame.width, frame.height)
    return both if all(each.width > 0 and each.height > 0 for each in both) else None


def _pictures(view: View, boxes: tuple[Box, Box]) -> list[torch.Tensor]:
    """For the network: the face generated and filmed, the mouth generated and filmed."""
    return [prepared(frame.rgb(box)) for box in boxes for frame in (view.frame, view.source)]
