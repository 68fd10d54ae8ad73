"""The 68 points of a face by upstream's own network, DWPose: what `landmarks: dwpose` asks for.

DWPose (Z. Yang et al., 2023) is an RTMPose of 133 points, 68 of them on the face; rtmlib (Apache-2.0) brings its
geometry. As upstream's `inference_topdown` does it, the whole frame counts as the person's box, and the points are
found twice, in the frame and in its mirror image (mmpose: `flip_test`). So it is the frame's most person-like
person, not the tracked one, and one point is as coarse as 1/576 of 1.25 times the frame's width.
"""

from pathlib import Path
from typing import Any

import numpy as np

from worker.engines.musetalk.onnx import Tensor, open_session, optional, running
from worker.faces.face import Points
from worker.media.frame import Pixels

INPUT = (288, 384)  # width, height
SPLIT = 2  # a pixel of the input has that many places for a point
POINTS = 133
FACE = slice(23, 91)  # the 68 of them


class DwPose:
    """Finds the points of the one person of a frame. Use it from one thread at a time."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        """Loads the ONNX file, for that many CPU threads.

        Raises:
            ConfigurationError: a library is not installed, or the file is not that network.
        """
        self._pose = _pose(path, threads)

    def points68(self, rgb: Pixels) -> Points | None:
        """The face's 68 points, (68, 2) float32 in the frame's pixels, from all of it, (H, W, 3) uint8 RGB.

        None where the network has nothing to say of one of them; how sure it is counts for nothing, as upstream.

        Raises:
            EngineFailed: ONNX Runtime failed.
        """
        # rtmlib takes the colours as they come. Its mean is that of RGB, so RGB is what must come.
        picture, centre, scale = self._pose.preprocess(rgb, [0, 0, rgb.shape[1], rgb.shape[0]])
        with running("DWPose"):
            seen, mirrored = self._pose.inference(picture), self._pose.inference(picture[:, ::-1])
        places = _averaged(seen, mirrored)
        points, scores = self._pose.postprocess(places, centre, scale)
        if float(scores[0].min()) <= 0:
            return None
        return np.asarray(points[0], dtype=np.float32)


def _averaged(seen: list[Tensor], mirrored: list[Tensor]) -> list[Tensor]:
    """How likely each column, (1, 68, 576), and row, (1, 68, 768), is that of each of the face's points."""
    across = (seen[0][:, FACE] + mirrored[0][:, FACE][:, _MIRRORED, ::-1]) * np.float32(0.5)
    down = (seen[1][:, FACE] + mirrored[1][:, FACE][:, _MIRRORED]) * np.float32(0.5)
    return [across, down]


def _pose(path: Path, threads: int) -> Any:
    """rtmlib's RTMPose on a session of ours: its own constructor counts no threads, and prints."""
    with optional("landmarks: dwpose"):
        from rtmlib import RTMPose

    class Pose(RTMPose):  # type: ignore[misc, unused-ignore]  # rtmlib carries no types
        def __init__(self) -> None:
            width, height = INPUT
            outputs = [(1, POINTS, SPLIT * width), (1, POINTS, SPLIT * height)]
            self.session = open_session(path, threads, (1, 3, height, width), outputs)
            self.backend = "onnxruntime"
            self.model_input_size = INPUT
            self.mean, self.std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)

    return Pose()


def _mirror() -> list[int]:
    """Which of the 68 points each is on a mirror image (iBUG 300-W: left and right are numbered apart)."""
    jaw, brows, bridge, base = range(16, -1, -1), range(26, 16, -1), range(27, 31), range(35, 30, -1)
    eyes = (45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40)
    lips = (54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65)
    return [*jaw, *brows, *bridge, *base, *eyes, *lips]


_MIRRORED = _mirror()
