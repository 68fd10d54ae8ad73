"""How far the lips are open in every frame of a finished video, measured again from the pixels that were encoded.

    Recording ─► a file a segment ─► Gauge, on a thread of its own ─► decode child ─► FaceTracker ─► one curve

While one segment is measured the next ones are drawn: only the last one's measuring is left when the stream ends.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import numpy as np

from contract.job import FaceChoice
from worker.evaluation.sync import Curve
from worker.faces.track import FaceModels, FaceTracker
from worker.media.limits import Limits
from worker.media.source import VideoSource
from worker.overlap import WriteBehind
from worker.stopwatch import Stopwatch


class Gauge:
    """Measures a video part by part, in order, by one tracker: the curve is that of the whole file. A context manager.

    `folder` is where parts may be put; it is gone when the block ends. `models` are this thread's alone for so long.
    Parts wait on the disk, and in memory is one frame. `touch` is told of every frame. What goes wrong is raised by
    the next `measure` or by `curve`; leaving the block with an error ends the measuring.
    """

    def __init__(
        self,
        place: Path,
        models: FaceModels,
        limits: Limits,
        choose: FaceChoice,
        watch: Stopwatch,
        touch: Callable[[], None] = lambda: None,
    ) -> None:
        self._tracker = FaceTracker(models, choose, smooth=False)
        self._limits, self._watch, self._touch = limits, watch, touch
        self._behind = WriteBehind(self._look, depth=0)
        self._apertures: list[float] = []
        self._is_left = False
        self._temporary = TemporaryDirectory(prefix="parts-", dir=place)
        self.folder = Path(self._temporary.name)

    def __enter__(self) -> Self:
        self._behind.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_left = error is not None
        with self._temporary:
            self._behind.__exit__(kind, error, trace)

    def measure(self, part: Path, frames: int) -> None:
        """Take the video's next part, a file of so many frames; it stays where it is unless it lies in `folder`."""
        self._behind.put((part, frames))

    def curve(self) -> Curve:
        """Of all that was taken, when it is measured: gap over face height, (frames,); NaN where no face is seen."""
        self._behind.finish()
        return np.array(self._apertures, dtype=np.float32)

    def _look(self, taken: tuple[Path, int]) -> None:
        part, frames = taken
        with self._watch.stage("measure"), VideoSource(part, self._limits, touch=self._touch) as source:
            for frame in source.frames(frames, "freeze"):
                if self._is_left:
                    return
                face = self._tracker.track(frame)
                self._apertures.append(np.nan if face is None else face.aperture)
        if part.parent == self.folder:
            part.unlink()
