"""One source and the videos that were made from it, frame by frame side by side, with their faces.

    source ─► decode, follow ─┐ a thread each      one (View, View, ...) a frame,
    video  ─► decode, follow ─┼──────────────────► a View for each video
    video  ─► decode, follow ─┘

Each video has its own thread and its own face models. A bounded number of frames is in memory.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from contract.errors import NoFace
from contract.job import FaceChoice, JobOptions
from contract.manifest import MediaFacts
from worker.evaluation.metrics.base import View
from worker.faces.face import Face
from worker.faces.track import FaceModels, FaceTracker
from worker.media.audio import Audio
from worker.media.frame import Frame
from worker.media.limits import Limits
from worker.media.source import VideoSource
from worker.overlap import read_ahead

AHEAD_FRAMES = 4
"""Frames that each video is read ahead: 12 MB at 1080p."""

Followed = tuple[Frame, Face | None]


@dataclass(frozen=True)
class Clip:
    """A source with the audio that its videos were made for, and the options that they were made with."""

    source: Path
    audio: Path
    sound: Audio
    options: JobOptions
    limits: Limits
    models: Callable[[], FaceModels]
    """Loads the face models: each video's thread has its own."""
    touch: Callable[[], None] = lambda: None
    """Called whenever a decoder gives a sign of life. What it raises ends the reading."""

    def frames_of(self, video: Path) -> int:
        """Frames to judge: of the video, but not more than the audio lasts for."""
        with self._opened(video) as source:
            return source.length(self.sound.frames, "cut")

    def facts_of(self, video: Path) -> MediaFacts:
        """What the file says of itself."""
        with self._opened(video) as source:
            return source.facts

    def _opened(self, video: Path, start: float = 0.0, end: float | None = None) -> VideoSource:
        return VideoSource(video, self.limits, start=start, end=end, touch=self.touch)

    def views(self, videos: Sequence[Path], frames: int) -> Iterator[tuple[View, ...]]:
        """The first so many frames of all videos, each beside the source's frame.

        The source plays as the options say, over and over where it is shorter; a video of another size is brought to
        the source's.

        Raises:
            InputRejected: a file cannot be read.
            NoFace: no frame of the source shows the face.
        """
        options, seen = self.options, 0
        with ExitStack() as stack:
            source = stack.enter_context(self._opened(self.source, start=options.start, end=options.end))
            shown = self._follow(stack, source.frames(frames, options.sync_mode))
            made = [self._follow(stack, self._sized(stack, video, source, frames)) for video in videos]
            for index in range(frames):
                frame, face = next(shown)
                seen += face is not None
                yield tuple(View(index, frame, face, *next(each)) for each in made)
        if not seen:
            raise NoFace(
                f"none of the {frames} frames of {self.source.name} shows a usable face (face={options.face})"
            )

    def _sized(self, stack: ExitStack, video: Path, source: VideoSource, frames: int) -> Iterator[Frame]:
        made = stack.enter_context(self._opened(video))
        return (frame.resized(source.width, source.height) for frame in made.frames(frames, "freeze"))

    def _follow(self, stack: ExitStack, frames: Iterator[Frame]) -> Iterator[Followed]:
        """The frames with their faces, from a thread of their own."""
        return stack.enter_context(
            read_ahead(_followed(frames, self.models(), self.options.face), AHEAD_FRAMES)
        )


def _followed(frames: Iterator[Frame], models: FaceModels, choose: FaceChoice) -> Iterator[Followed]:
    tracker = FaceTracker(models, choose, smooth=False)
    for frame in frames:
        yield frame, tracker.track(frame)
