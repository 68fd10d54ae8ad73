"""Which detections are one face through a shot, and the square that its crops are taken at.

The rules of joonson/syncnet_python@6efbb1c, run_pipeline.py (track_shot and crop_video), frame by frame instead of with
the whole video at hand. Upstream builds one track after the other from what the earlier ones left over; giving each
frame's faces to the live tracks in the order of their beginnings is the same.
"""

from dataclasses import dataclass, field

import numpy as np

from worker.evaluation.syncnet.boxes import Boxes, FaceBox, overlaps

LEAST_OVERLAP = 0.5
"""Of a face with the track's last one; it must be more."""
MOST_MISSED = 25
"""Frames from one detection of a track to the next, a second."""
LEAST_DETECTIONS = 100
"""A track must have more."""
LEAST_SIDE = 100.0
"""Pixels: the mean of its boxes' widths, or of their heights, must be more."""
REACH = 6
"""Frames on either side that the median takes in: 13 in all."""


@dataclass(frozen=True)
class Square:
    """Around a face: its centre and half its side, in pixels of the frame."""

    x: float
    y: float
    half: float


@dataclass(eq=False)
class Track:
    """One face from its first detection to its last; boxes between detections are interpolated."""

    first: int
    """The frame of the first detection."""
    detections: int = 0
    has_ended: bool = False
    _boxes: list[FaceBox] = field(default_factory=list)

    @property
    def last(self) -> int:
        """The frame of the last detection so far."""
        return self.first + len(self._boxes) - 1

    @property
    def frames(self) -> int:
        """From the first to the last, both included."""
        return len(self._boxes)

    @property
    def side(self) -> float:
        """The mean width or the mean height of its boxes, whichever is more, in pixels."""
        boxes = np.stack(self._boxes)
        return float((boxes[:, 2:] - boxes[:, :2]).mean(axis=0).max())

    @property
    def settled(self) -> int:
        """The first frame whose square may still change; one after the last where the track has ended."""
        return self.last + 1 if self.has_ended else max(self.first, self.last + 1 - REACH)

    def add(self, index: int, box: FaceBox) -> None:
        """The face was detected there, in a frame after the last."""
        if self._boxes:
            before, gap = self._boxes[-1], index - self.last
            self._boxes += [before + (box - before) * step / gap for step in range(1, gap)]
        self._boxes.append(box)
        self.detections += 1

    def nearest(self, boxes: Boxes) -> int | None:
        """Which of the boxes goes on with it: the surest that overlaps its last one enough."""
        alike = np.flatnonzero(overlaps(self._boxes[-1], boxes) > LEAST_OVERLAP)
        return int(alike[0]) if len(alike) else None

    def square(self, index: int) -> Square:
        """Where to crop that frame of it: the median of 13 frames, what lies outside the track counting as 0."""
        at = index - self.first
        near = np.stack(self._boxes[max(0, at - REACH) : at + REACH + 1])
        sizes, centres = near[:, 2:] - near[:, :2], (near[:, :2] + near[:, 2:]) / 2
        rows = np.zeros((2 * REACH + 1, 3))
        rows[: len(near)] = np.column_stack([centres, sizes.max(axis=1) / 2])
        return Square(*np.median(rows, axis=0).tolist())


class Tracker:
    """The live tracks of one video."""

    def __init__(self) -> None:
        self.live: list[Track] = []
        """In the order of their beginnings."""

    def see(self, index: int, boxes: Boxes) -> list[Track]:
        """The faces of the next frame, the surest first; gives the tracks that have ended before it."""
        ended = self._end([each for each in self.live if index - each.last > MOST_MISSED])
        for track in self.live:
            if (found := track.nearest(boxes)) is not None:
                track.add(index, boxes[found])
                boxes = np.delete(boxes, found, axis=0)
        for box in boxes:
            self.live.append(Track(index))
            self.live[-1].add(index, box)
        return ended

    def end(self) -> list[Track]:
        """The shot is over: all live tracks end, and are given."""
        return self._end(list(self.live))

    def _end(self, ending: list[Track]) -> list[Track]:
        for track in ending:
            track.has_ended = True
            self.live.remove(track)
        return ending


def why_not(track: Track) -> str:
    """Why upstream's pipeline drops such a track; "" where it keeps it."""
    if track.detections <= LEAST_DETECTIONS:
        return (
            f"the longest track of a face has {track.detections} detections at 25 fps; "
            f"SyncNet's pipeline takes those with more than {LEAST_DETECTIONS}, 4 seconds"
        )
    if track.side <= LEAST_SIDE:
        return (
            f"the tracked face is {track.side:.0f} px large; "
            f"SyncNet's pipeline takes those of more than {LEAST_SIDE:.0f}"
        )
    return ""
