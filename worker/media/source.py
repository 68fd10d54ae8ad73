"""The source of pictures: a video or a still, as frames in output order."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from contract.job import SyncMode
from contract.manifest import MediaFacts, WarningRecord
from worker.media.decoder import Decoder
from worker.media.frame import Frame
from worker.media.limits import Limits


def probe(path: Path, limits: Limits) -> MediaFacts:
    """What the file says of itself, after its first frame was decoded.

    Raises:
        InputRejected: it is not media that could be rendered.
    """
    with Decoder(path, limits) as decoder:
        decoder.ask("probe")
        return MediaFacts(**decoder.receive().fields["facts"])


class VideoSource:
    """One video or still in its own decode child, which ends with the context.

    `start` and `end` select a part, in seconds after the first frame. `width` and `height` are those of every
    frame; `is_still` says that there is one picture only. `touch` as for `Decoder`.

    Raises:
        InputRejected: the file cannot be rendered; by `frames` also where the fault lies deeper in the file.
    """

    def __init__(
        self,
        path: Path,
        limits: Limits,
        *,
        start: float = 0.0,
        end: float | None = None,
        touch: Callable[[], None] = lambda: None,
    ) -> None:
        with ExitStack() as stack:
            self._decoder = stack.enter_context(Decoder(path, limits, touch))
            self._decoder.ask("video", start=start, end=end)
            answer = self._decoder.receive().fields
            self._stack = stack.pop_all()
        self.facts = MediaFacts(**answer["facts"])
        self.width: int = answer["width"]
        self.height: int = answer["height"]
        self.is_still: bool = answer["is_still"]
        self.source_frames: int | None = 1 if self.is_still else None
        """Pictures of the part on the 25 fps grid; known once they were all read."""
        self.warnings: tuple[WarningRecord, ...] = ()
        """Complete after the last frame."""
        self.is_damaged = False
        """Whether decoding has met faults so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def length(self, audio_frames: int, sync_mode: SyncMode) -> int:
        """Frames of the output for that many frames of audio.

        The audio decides, but `cut` ends with the shorter of the two and `silence` with a longer video; these two
        decode the video once more to count it.
        """
        if self.is_still or sync_mode not in ("cut", "silence"):
            return audio_frames
        self._decoder.ask("count", most=audio_frames if sync_mode == "cut" else None)
        counted: int = self._decoder.receive().fields["frames"]
        return counted if sync_mode == "cut" else max(audio_frames, counted)

    def go_to(self, position: int, prints: Sequence[int]) -> bool:
        """Whether `frames` from there on will come without what is before being read, and be the same to the bit.

        `prints` are CRC-32s of the frames before it, of their Y, U and V; all of the first time that the video plays.
        """
        self._decoder.ask("go_to", position=position, prints=list(prints))
        return bool(self._decoder.receive().fields["went"])

    def frames(self, length: int, sync_mode: SyncMode, first: int = 0) -> Iterator[Frame]:
        """`length` frames (see `length`) in output order, of which those before `first` are passed over.

        Their planes are the caller's own.

        Where the video is shorter: bounce and silence play it backward and forward in turns, loop starts it
        again, freeze holds its last picture.
        """
        self._decoder.ask("frames", length=length, sync_mode=sync_mode, first=first)
        for index, message in enumerate(self._decoder.answers(), first):
            if message.kind == "end":
                self.source_frames = message.fields["source_frames"]
                self.warnings = tuple(WarningRecord(code=c, message=m) for c, m in message.fields["warnings"])
                return
            self.is_damaged = message.fields["is_damaged"]
            yield self._frame(index, message.fields["source_index"])

    def _frame(self, index: int, source_index: int) -> Frame:
        """The next message's payload as planes of one piece of memory."""
        luma, chroma = self.width * self.height, self.width * self.height // 4
        memory = np.empty(luma + 2 * chroma, np.uint8)
        self._decoder.read_into(memory.data)
        half = self.height // 2, self.width // 2
        return Frame(
            index,
            source_index,
            memory[:luma].reshape(self.height, self.width),
            memory[luma : luma + chroma].reshape(half),
            memory[luma + chroma :].reshape(half),
        )
