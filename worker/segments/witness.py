"""What a source showed just before the end of each segment: by that it is entered there another time."""

import zlib
from collections.abc import Iterable, Iterator

from worker.media.frame import Frame
from worker.media.source import VideoSource
from worker.segments.segment import ends_segment, left_in_segment

PRINTS = 16
"""Pictures to compare: no codec on the list looks further back (H.264 and HEVC: 16 frames)."""


class Witness:
    """Takes CRC-32s of the last frames of each segment, before anything is drawn into them.

    Only of a source that plays for the first time, without faults so far: no other can be entered in its middle.
    """

    def __init__(self, source: VideoSource) -> None:
        self._source = source
        self._prints: list[int] = []
        self._ends: dict[int, tuple[int, ...]] = {}

    def watched(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """The same frames."""
        for frame in frames:
            if left_in_segment(frame.index) < PRINTS:
                self._look(frame)
            yield frame

    def before(self, index: int) -> tuple[int, ...]:
        """Of the frames before the one that begins a segment; none where the source cannot be entered there."""
        return self._ends.pop(index, ())

    def _look(self, frame: Frame) -> None:
        self._prints.append(print_of(frame))
        if ends_segment(frame.index):
            if frame.source_index == frame.index and not self._source.is_damaged:
                self._ends[frame.index + 1] = tuple(self._prints)
            self._prints.clear()


def print_of(frame: Frame) -> int:
    """CRC-32 of Y, U and V."""
    return zlib.crc32(frame.v.data, zlib.crc32(frame.u.data, zlib.crc32(frame.y.data)))
