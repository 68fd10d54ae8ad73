"""A moving source: its pictures on the 25 fps grid, forward and backward, in bounded memory."""

import zlib
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any

from av.video.frame import VideoFrame

from contract.errors import DublineError, NoVideo
from worker.media.child.container import (
    audio_facts,
    audio_stream,
    check_pixels,
    container_name,
    declared_seconds,
    too_long,
)
from worker.media.child.deinterlace import progressive
from worker.media.child.picture import Converter, Geometry, Picture
from worker.media.child.reader import Faults, Reader, Shot
from worker.media.clock import FPS, on_grid, position
from worker.media.limits import Limits

KEPT_BYTES = 256 * 2**20
"""Pictures kept for the way back; a source that fits is decoded once."""
_TRUNCATION_SECONDS = Fraction(1, 2)
_EMPTY_PART = "the video ends before the part that start and end select; choose an earlier start"

Placed = tuple[int, Picture]
"""A position on the part's own 25 fps grid, from 0, and its picture; repeats share one picture."""


class Film:
    """The part of a video between `start` and `end`, in seconds after its first frame.

    Raises:
        NoVideo, FormatForbidden, NotMedia, InputTooLarge, TimestampGap, DecodeLimit
    """

    def __init__(
        self,
        path: Path,
        limits: Limits,
        beat: Callable[[], None],
        start: float = 0.0,
        end: float | None = None,
    ) -> None:
        self._limits = limits
        self._reader = Reader(path, limits, beat)
        first = self._first_shot()
        self._origin = first.ts
        self._geometry = Geometry.of(first.frame, self._reader.stream.sample_aspect_ratio)
        check_pixels(*self._geometry.shown, limits)
        self._converter = Converter(self._geometry)
        self._from = position(_exact(start))
        self._to = None if end is None else max(position(_exact(end)), self._from + 1)
        self._stamps: array[int] | None = None
        self._passed_over = (
            0  # positions of which no stamp is known, because the first reading began after them
        )
        self._sought: Iterator[Placed] | None = None
        self._recent: deque[Placed] = deque(maxlen=self._kept_frames())
        self._faults = Faults()
        self._truncated: list[tuple[str, str]] = []

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height of every picture."""
        return self._geometry.shown

    @property
    def frames(self) -> int | None:
        """Pictures of the part; None until they were read to the end once."""
        return None if self._stamps is None else self._passed_over + len(self._stamps)

    @property
    def is_damaged(self) -> bool:
        """Whether the first reading met faults so far."""
        return bool(self._faults.packets or self._faults.frames)

    @property
    def warnings(self) -> list[tuple[str, str]]:
        """What the first reading met, as far as it went: code and message."""
        faults = self._faults
        if not faults.packets and not faults.frames:
            return self._truncated
        met = f"{faults.packets} packets could not be decoded and {faults.frames} frames are damaged"
        return [("source_corrupt", met), *self._truncated]

    def facts(self) -> dict[str, Any]:
        """The fields of contract.manifest.MediaFacts."""
        container, stream = self._reader.container, self._reader.stream
        width, height = self.shown
        sound = audio_stream(container)
        rate = stream.average_rate or stream.guessed_rate
        declared = declared_seconds(container, stream)
        return {
            **(audio_facts(container, sound) if sound else {}),
            "container": container_name(container),
            "video_codec": stream.codec_context.codec.canonical_name,
            "width": width,
            "height": height,
            "fps": str(rate) if rate else None,
            "duration_seconds": float(declared) if declared else None,
        }

    def count(self, most: int | None) -> int:
        """Pictures of the part, up to `most`; decodes, converts nothing. Raises NoVideo where there is none."""
        counted = 0
        for counted, _ in enumerate(self._part(), 1):
            if counted == most:
                break
        if not counted:
            raise NoVideo(_EMPTY_PART)
        return counted

    def go_to(self, position: int, prints: Sequence[int]) -> bool:
        """Have the first reading begin there, where the file can be entered just before as if it was read whole.

        So it can if the pictures before the position have these CRC-32s: as many as codecs look back at.
        """
        begin = position - len(prints)
        try:
            reading = self._first_pass(begin)
            before = ((index, zlib.crc32(picture.data)) for index, picture in reading)
            expected = enumerate(prints, begin)
            if all(next(before, None) == each for each in expected) and (first := next(reading, None)):
                self._sought = chain([first], reading)
                return True
        except DublineError:  # where a decoder was entered in its middle; what is wrong for good is met again
            pass
        self._stamps, self._passed_over, self._converter = None, 0, Converter(self._geometry)
        self._recent.clear()
        self._truncated.clear()
        return False

    def forward(self) -> Iterator[Placed]:
        """The part from its first picture to its last; the first time from where `go_to` went."""
        if self._sought:
            sought, self._sought = self._sought, None
            return sought
        if self._stamps is None:
            return self._first_pass()
        self._look_back()
        if len(self._recent) == len(self._stamps):
            return iter(self._recent)
        return self._again(0, len(self._stamps))

    def backward(self) -> Iterator[Placed]:
        """The part from its last picture to its first, a window at a time; only after `forward` has ended."""
        self._look_back()
        stamps = self._stamps or array("q")
        stop = len(stamps) - len(self._recent)
        yield from reversed(self._recent)
        while stop > 0:
            begin = max(0, stop - self._kept_frames())
            yield from reversed(list(self._again(begin, stop)))
            stop = begin

    def _first_shot(self) -> Shot:
        shot = next(self._reader.from_start(), None)
        if shot is None:
            raise NoVideo("none of its frames decodes; export it again")
        return shot

    def _kept_frames(self) -> int:
        width, height = self.shown
        return max(2, KEPT_BYTES // (width * height * 3 // 2))

    def _look_back(self) -> None:
        """Read what was passed over, of which stamps alone are wanted."""
        if self._passed_over:
            before = array("q", (shot.stamp for _, shot in islice(self._part(), self._passed_over)))
            self._stamps, self._passed_over = before + (self._stamps or array("q")), 0

    def _first_pass(self, begin: int = 0) -> Iterator[Placed]:
        """The part, remembered; what the end tells is known before its last picture is given."""
        stamps = array("q")
        last: tuple[Shot, Picture] | None = None
        for index, shot in self._part(begin):
            self._faults = self._reader.faults  # of this reading, and it goes on counting
            if last is None or last[0] is not shot:
                last = shot, self._converter.picture(shot.frame)
            if self._recent:
                yield self._recent[-1]
            stamps.append(shot.stamp)
            self._recent.append((index, last[1]))
        if last is None:
            raise NoVideo(_EMPTY_PART)
        self._stamps, self._passed_over = stamps, begin
        self._note_truncation(last[0])
        yield self._recent[-1]

    def _part(self, begin: int = 0) -> Iterator[tuple[int, Shot]]:
        """Grid positions of the part, from `begin` on, and their shots, not yet converted."""
        first = self._from + begin
        for at, shot in on_grid(progressive(self._source(first)), self._origin):
            if at >= self._limits.seconds * FPS:
                raise too_long(self._limits)
            if self._to is not None and at >= self._to:
                return
            if at >= first:
                yield at - self._from, shot

    def _source(self, first: int) -> Iterator[Shot]:
        """Shots from a grid position of the whole video on, or from before it."""
        if first == 0:
            return self._reader.from_start()
        return self._reader.from_time(self._origin + Fraction(first - 1, FPS))

    def _again(self, begin: int, stop: int) -> Iterator[Placed]:
        """Positions begin..stop-1 decoded once more: at each, the last shot not later than the first time."""
        stamps = (self._stamps or array("q"))[begin:stop]
        unit = self._reader.stream.time_base or Fraction(1)
        # One shot earlier, because bwdif looks at its neighbours.
        shots = progressive(self._reader.from_time(stamps[0] * unit - Fraction(1, FPS)))
        shot = next(shots)
        following = next(shots, None)
        shown: tuple[VideoFrame, Picture] | None = None
        for index, stamp in enumerate(stamps, begin):
            while following and following.stamp <= stamp:
                shot, following = following, next(shots, None)
            if shown is None or shown[0] is not shot.frame:
                shown = shot.frame, self._converter.picture(shot.frame)
            yield index, shown[1]

    def _note_truncation(self, last: Shot) -> None:
        """Warn of an end before the declared one."""
        reached = last.ts + last.duration - self._origin
        declared = declared_seconds(self._reader.container, self._reader.stream)
        if self._to is None and declared and declared - reached > _TRUNCATION_SECONDS:
            self._truncated.append(
                (
                    "source_truncated",
                    f"the video ends after {float(reached):.2f} s of the {float(declared):.2f} s it declares; "
                    "what is there was used",
                )
            )


def _exact(seconds: float) -> Fraction:
    """A time that a person wrote: 0.1 is a tenth."""
    return Fraction(str(seconds))
