"""The source encoded again and nothing else: what the codec alone does to every figure."""

from pathlib import Path
from types import TracebackType
from typing import Self

from worker.media.audio import Audio
from worker.media.frame import Frame
from worker.media.writer import VideoWriter


class FloorWriter:
    """Encodes the source's frames as the engines' results are encoded. A context manager; the file is whole after it."""

    def __init__(self, path: Path, sound: Audio, threads: int) -> None:
        self._path, self._sound, self._threads = path, sound, threads
        self._writer: VideoWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is None:
            return
        with self._writer:
            if error is None:
                self._writer.cut()
                self._writer.close()

    def write(self, frame: Frame) -> None:
        """The next frame."""
        if self._writer is None:
            sound, threads = self._sound, self._threads
            self._writer = VideoWriter(self._path, frame.width, frame.height, sound, threads=threads)
        self._writer.write(frame)
