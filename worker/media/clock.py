"""Time on the output's 25 fps grid, in exact fractions: floats put ties of 30 fps sources on the wrong frame."""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Protocol, TypeVar

FPS = 25
"""Output frames a second."""
SAMPLE_RATE = 16_000
"""Hz of the mono audio that engines listen to."""
_A_MICRO_FRAME = Fraction(1, 1_000_000)


class Timed(Protocol):
    """Something shown from `ts` on, for `duration`; both in seconds."""

    @property
    def ts(self) -> Fraction: ...
    @property
    def duration(self) -> Fraction: ...


_T = TypeVar("_T", bound=Timed)


def position(seconds: Fraction) -> int:
    """The grid position nearest to a time after the first frame; half a frame rounds up."""
    return math.floor(seconds * FPS + Fraction(1, 2))


def frames_of(seconds: Fraction) -> int:
    """Output frames that cover that much audio; a millionth of a frame is forgiven."""
    return math.ceil(seconds * FPS - _A_MICRO_FRAME)


def on_grid(frames: Iterable[_T], first: Fraction) -> Iterator[tuple[int, _T]]:
    """(k, frame) for every grid position k: the last frame whose own position is at most k.

    The rule of FFmpeg's `setpts=PTS-STARTPTS,fps=25`, index for index. `frames` come in rising `ts`; `first`
    is the time of position 0. The last frame stays for its duration, and one frame always yields something.
    """
    held: _T | None = None
    at = 0
    for frame in frames:
        then = position(frame.ts - first)
        if held is not None:
            yield from ((k, held) for k in range(at, then))
        held, at = frame, then
    if held is not None:
        end = position(held.ts + held.duration - first)
        yield from ((k, held) for k in range(at, max(end, 1)))


class BestEffort:
    """The time of each decoded frame, from its own stamp or from the decoder's, whichever errs less often.

    A port of libavcodec's guess_correct_pts (decode.c): AVI stores no presentation times, and what libav
    makes up for B-frames there runs 1, 3, 2, 5, 4.
    """

    def __init__(self) -> None:
        self._faulty_pts = self._faulty_dts = 0
        self._last_pts: int | None = None
        self._last_dts: int | None = None

    def rewind(self) -> None:
        """Forget the last times, keep the verdict: what follows was sought."""
        self._last_pts = self._last_dts = None

    def guess(self, pts: int | None, dts: int | None) -> int | None:
        """The better one of the two, None where both are missing."""
        self._faulty_dts += _falls(dts, self._last_dts)
        self._faulty_pts += _falls(pts, self._last_pts)
        self._last_dts = pts if dts is None else dts
        self._last_pts = dts if pts is None else pts
        if pts is not None and (dts is None or self._faulty_pts <= self._faulty_dts):
            return pts
        return dts


def _falls(now: int | None, last: int | None) -> bool:
    return now is not None and last is not None and now <= last
