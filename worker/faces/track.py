"""One face through a video: detect when it must, follow when it can, smooth always."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.job import FaceChoice
from worker import weights
from worker.faces.cuts import Cuts
from worker.faces.detect import Detection, Detector
from worker.faces.face import Face
from worker.faces.mesh import Mesh, Square
from worker.faces.network import Network
from worker.faces.smooth import OneEuro
from worker.media.frame import Frame

MIN_HEIGHT = 24.0
"""Forehead to chin, in pixels: a smaller face counts as none."""
MIN_INSIDE = 0.5
"""Share of its points that must lie in the frame."""
SEARCH_SECONDS = 0.2
"""A face is looked for in every frame for this long after a loss or a cut, and then once in this time."""
REACH = 1.0
"""How far from its last place a lost face may be found again at once, in sides of its square ..."""
REACH_PER_SECOND = 3.0
"""... and how much farther for each second that it was lost."""


@dataclass(frozen=True)
class FaceModels:
    """The two networks, loaded. Use them from one thread at a time."""

    detector: Detector
    mesh: Mesh

    @classmethod
    def load(cls, folder: Path, threads: int) -> "FaceModels":
        """From the cache folder of weights, each for that many CPU threads.

        Raises:
            ConfigurationError: a file is missing or wrong.
        """
        detector = Network(weights.path("face-detection", folder), threads)
        mesh = Network(weights.path("face-mesh", folder), threads)
        return cls(Detector(detector), Mesh(mesh))


class FaceTracker:
    """Follows one person's face.

    `choose` says whose: the largest face, the leftmost or the rightmost as the viewer sees them, or the n-th
    from the left, from 0. The choice is made in the first frame that has such a face, and anew after each cut. A
    face lost within a shot is found again by place and size. Looks are never compared: after a cut, or where two
    people cross, it may be another person.
    """

    def __init__(
        self,
        models: FaceModels,
        choose: FaceChoice = "largest",
        fps: Fraction | float = 25,
        smooth: bool = True,
    ) -> None:
        self._models, self._choose, self._fps = models, choose, float(fps)
        self._filter = OneEuro(self._fps, floor=1.0, slope=80.0) if smooth else None
        self._cuts = Cuts()
        self._last: Face | None = None  # the last face seen in this shot, unsmoothed
        self._absent = 0  # frames since then, or since the shot began

    def track(self, frame: Frame) -> Face | None:
        """The face in the next frame of the source, or None; asked of every frame, once and in order."""
        if self._cuts.begins(frame):
            self._last, self._absent = None, 0
            self._forget_motion()
        face = self._follow(frame) or self._search(frame)
        if face is None:
            self._absent += 1
            self._forget_motion()
            return None
        self._last, self._absent = face, 0
        return self._smoothed(face)

    def state(self) -> dict[str, NDArray[Any]]:
        """All that the next answer depends on besides its frame, in named arrays of a few kilobytes."""
        last = self._last
        parts = {
            "absent": {"frames": np.array([self._absent])},
            "cuts": self._cuts.state(),
            "filter": self._filter.state() if self._filter else {},
            "last": {"points": last.points, "score": np.array([last.score])} if last else {},
        }
        return {f"{part}.{name}": array for part, state in parts.items() for name, array in state.items()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from the `state` of a tracker of the same choice: from here the two agree to the last bit."""
        self._absent = int(state["absent.frames"][0])
        self._cuts.restore(_part(state, "cuts"))
        if self._filter is not None:
            self._filter.restore(_part(state, "filter"))
        last = _part(state, "last")
        self._last = Face(last["points"], float(last["score"][0])) if last else None

    def _follow(self, frame: Frame) -> Face | None:
        """The face near where it was one frame ago."""
        if self._last is None or self._absent:
            return None
        face = self._models.mesh.fit(frame, Square.around_points(self._last.points))
        return face if face and _usable(face, frame) else None

    def _search(self, frame: Frame) -> Face | None:
        """The lost face where there was one, else the one to choose."""
        patience = max(1, int(SEARCH_SECONDS * self._fps))
        if self._absent > patience and self._absent % patience:
            return None
        candidates, position = self._candidates(self._models.detector.detect(frame))
        return next(islice(self._acquired(frame, candidates), position, None), None)

    def _candidates(self, detections: list[Detection]) -> tuple[list[Detection], int]:
        """What to try in which order, and which of those that prove to be faces to take."""
        if self._last is not None:
            return _near(self._last, detections, REACH + REACH_PER_SECOND * self._absent / self._fps), 0
        if self._choose == "largest":
            return sorted(detections, key=lambda each: -each.size), 0
        across = sorted(detections, key=lambda each: float(each.centre[0]))
        if self._choose == "right":
            return across[::-1], 0
        return across, 0 if self._choose == "left" else self._choose

    def _acquired(self, frame: Frame, detections: list[Detection]) -> Iterator[Face]:
        """The usable faces among the detections, in their order; each is fitted when it is asked for."""
        faces = (self._models.mesh.acquire(frame, each) for each in detections)
        return (face for face in faces if face and _usable(face, frame))

    def _smoothed(self, face: Face) -> Face:
        if self._filter is None:
            return face
        return Face(self._filter.smooth(face.points, face.height), face.score)

    def _forget_motion(self) -> None:
        if self._filter is not None:
            self._filter.reset()


def _part(state: Mapping[str, NDArray[Any]], part: str) -> dict[str, NDArray[Any]]:
    begin = f"{part}."
    return {name.removeprefix(begin): array for name, array in state.items() if name.startswith(begin)}


def _near(last: Face, detections: list[Detection], reach: float) -> list[Detection]:
    """Those within reach of the last face, likest first.

    Unlikeness is the distance, in sides of the last face's square, plus the logarithm of the sizes' ratio.
    """
    place = Square.around_points(last.points)

    def unlikeness(each: Detection) -> float:
        square = Square.around_detection(each)
        distance = math.hypot(square.x - place.x, square.y - place.y) / place.side
        return distance + abs(math.log(square.side / place.side))

    return sorted((each for each in detections if unlikeness(each) <= reach), key=unlikeness)


def _usable(face: Face, frame: Frame) -> bool:
    """Large enough to draw a mouth on, and for the greater part in the picture."""
    inside = np.all((face.points >= 0) & (face.points < (frame.width, frame.height)), axis=1)
    return face.height >= MIN_HEIGHT and float(inside.mean()) >= MIN_INSIDE
