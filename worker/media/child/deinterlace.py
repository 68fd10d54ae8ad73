"""Interlaced shots as full pictures, one each."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

import av
from av.filter import Graph
from av.video.frame import VideoFrame

from worker.media.child.reader import Shot

_ANY_TIME_BASE = Fraction(1, 25)


def progressive(shots: Iterable[Shot]) -> Iterator[Shot]:
    """The same shots; from the first interlaced one on, through bwdif, which leaves progressive frames alone."""
    deinterlacer: Deinterlacer | None = None
    for shot in shots:
        if deinterlacer is None and shot.frame.interlaced_frame:
            deinterlacer = Deinterlacer(shot.frame)
        if deinterlacer is None:
            yield shot
        elif deinterlacer.takes(shot.frame):
            yield from deinterlacer.push(shot)
        else:
            yield from deinterlacer.flush()
            deinterlacer = None
            yield shot
    if deinterlacer:
        yield from deinterlacer.flush()


class Deinterlacer:
    """bwdif for frames of one size and format; it gives one frame for each, a frame late."""

    def __init__(self, frame: VideoFrame) -> None:
        self._shape = _shape(frame)
        self._waiting: deque[Shot] = deque()
        self._graph = Graph()
        width, height, pixel_format = self._shape
        source = f"video_size={width}x{height}:pix_fmt={pixel_format}:time_base={_ANY_TIME_BASE}"
        self._graph.link_nodes(
            self._graph.add("buffer", source),
            self._graph.add("bwdif", "mode=send_frame:deint=interlaced"),
            self._graph.add("buffersink"),
        ).configure()

    def takes(self, frame: VideoFrame) -> bool:
        """Whether the frame is of this size and format."""
        return _shape(frame) == self._shape

    def push(self, shot: Shot) -> Iterator[Shot]:
        """Take one shot; gives those that are ready."""
        self._waiting.append(shot)
        self._graph.push(shot.frame)
        return self._ready()

    def flush(self) -> Iterator[Shot]:
        """The last ones."""
        self._graph.push(None)
        return self._ready()

    def _ready(self) -> Iterator[Shot]:
        while True:
            try:
                frame = self._graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
            yield replace(self._waiting.popleft(), frame=frame)


def _shape(frame: VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name
