"""LPIPS of the mouth: how different it looks from the source's, frame by frame.

Only with the source's own audio should the two look alike: of other audio a good mouth is a different one.
"""

from pathlib import Path

import cv2
import numpy as np

from worker import weights
from worker.evaluation.crops import mouth_box
from worker.evaluation.metrics.base import Reading, Sound, View, mean
from worker.evaluation.metrics.quantities import LPIPS_MOUTH
from worker.evaluation.networks.alexnet import Lpips as Network
from worker.media.frame import Box, Pixels

BACKBONE, HEADS = "alexnet", "lpips-alex"
SMALLEST = 64
"""Shorter side of what the network is given, in pixels: a smaller mouth is enlarged to it, others stay as they are."""


class Lpips:
    """LPIPS 0.1 on AlexNet, loaded."""

    quantities = (LPIPS_MOUTH,)
    weights: tuple[str, ...] = (BACKBONE, HEADS)
    hears = False

    def __init__(self, network: Network) -> None:
        self._network = network

    def meter(self) -> "LpipsMeter":
        """For one video."""
        return LpipsMeter(self._network)


class LpipsMeter:
    """A distance for each frame, at the box of the source's mouth; a frame without one takes no part."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._distances: list[float] = []

    def see(self, view: View) -> None:
        """The next frame."""
        face, size = view.source_face, (view.source.width, view.source.height)
        box = mouth_box(face, *size) if face else None
        self._distances.append(self._at(box, view) if box and _holds_pixels(box) else float("nan"))

    def readings(self, sound: Sound) -> dict[str, Reading]:
        """The mean over frames; the audio plays no part, but see the quantity's `needs_self_audio`."""
        samples = np.array(self._distances, np.float64).reshape(-1, 1)
        n = int(np.isfinite(samples).sum())
        about = {"frames_without_face": len(samples) - n}
        if n == 0:
            reason = "no frame of the source shows a face"
            return {"lpips_mouth": Reading(None, 0, reason, about=about)}
        return {"lpips_mouth": Reading(mean(samples), n, samples=samples, is_per_frame=True, about=about)}

    def _at(self, box: Box, view: View) -> float:
        generated, source = (_large_enough(each.rgb(box)) for each in (view.frame, view.source))
        return self._network.distance(generated, source)


def load(folder: Path, threads: int) -> Lpips:
    """The metric, with its networks from the cache folder of weights.

    Raises:
        ConfigurationError: a file is missing or wrong.
    """
    backbone, heads = (weights.path(name, folder) for name in (BACKBONE, HEADS))
    return Lpips(Network.load(backbone, heads, threads))


def _holds_pixels(box: Box) -> bool:
    return box.width > 0 and box.height > 0


def _large_enough(picture: Pixels) -> Pixels:
    """The picture, its shorter side at least SMALLEST."""
    height, width = picture.shape[:2]
    factor = SMALLEST / min(height, width)
    if factor <= 1:
        return picture
    size = (round(width * factor), round(height * factor))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
