"""One video stream as shots: decoded frames with a time that only rises."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from contract.errors import DecodeLimit, NoVideo, TimestampGap
from worker.media.child.container import (
    VIDEO_CODECS,
    check_codec,
    check_pixels,
    declared_seconds,
    open_media,
    seconds,
    too_long,
    video_stream,
)
from worker.media.clock import FPS, BestEffort
from worker.media.limits import Limits

LONGEST_GAP = Fraction(60)
"""Seconds between two frames; even a slide show changes more often."""
_STEPS_BACK = (0, 1, 4, 16, 64)
_MOST_THREADS = 4
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""libav's own decoders of these drop the alpha plane without a word."""


@dataclass(frozen=True)
class Shot:
    """One decoded frame; `stamp` is its time in the stream's own units, `ts` and `duration` are in seconds."""

    stamp: int
    ts: Fraction
    duration: Fraction
    frame: VideoFrame


@dataclass
class Faults:
    """What was tolerated while decoding."""

    packets: int = 0
    """Packets that could not be read or decoded."""
    frames: int = 0
    """Frames decoded with damage."""


class Reader:
    """Decodes one stream from its start or from a time; `beat` is called for every packet.

    Raises:
        NoVideo, FormatForbidden, NotMedia, InputTooLarge, TimestampGap, DecodeLimit
    """

    def __init__(self, path: Path, limits: Limits, beat: Callable[[], None]) -> None:
        self._path, self._limits, self._beat = path, limits, beat
        self._guess = BestEffort()
        self.faults = Faults()
        self._open()
        declared = declared_seconds(self.container, self.stream)
        if declared and declared > limits.seconds:
            self._measure()
            self._reopen()

    def from_start(self) -> Iterator[Shot]:
        """All shots, from a freshly opened file: not every container can seek to its start."""
        if not self._fresh:
            self._reopen()
        self._guess = BestEffort()
        return self._shots()

    def from_time(self, ts: Fraction) -> Iterator[Shot]:
        """Shots from one at or before `ts` on: from the key frame before it where the container can seek."""
        for back in _STEPS_BACK:
            if not self._seek(ts - back):
                break
            shots = self._shots()
            first = next(shots, None)
            if first and first.ts <= ts:
                return chain([first], shots)
        return self.from_start()

    def _open(self) -> None:
        self.container: InputContainer = open_media(self._path)
        stream = video_stream(self.container)
        if stream is None:
            raise NoVideo("no video stream; give a video or a picture")
        self.stream: VideoStream = stream
        check_codec(stream, VIDEO_CODECS)
        check_pixels(stream.width, stream.height, self._limits)
        self._decoder = self._new_decoder()
        self._fresh = True

    def _reopen(self) -> None:
        self.container.close()
        self._open()

    def _new_decoder(self) -> VideoCodecContext:
        """The stream's decoder, or the one that also decodes its alpha plane."""
        decoder = self.stream.codec_context
        if self.stream.metadata.get("alpha_mode") == "1" and decoder.name in _ALPHA_DECODERS:
            extradata = decoder.extradata
            decoder = cast(VideoCodecContext, av.CodecContext.create(_ALPHA_DECODERS[decoder.name], "r"))
            decoder.extradata = extradata
        decoder.thread_type = "AUTO"
        decoder.thread_count = min(os.cpu_count() or 1, _MOST_THREADS)
        # Twice the limit, because libav counts padding too; the exact check is ours.
        decoder.options = {"max_pixels": str(2 * self._limits.pixels)}
        return decoder

    def _measure(self) -> None:
        """Check a length over the limit against the packets: headers lie, and a gap has its own name."""
        first = last = None
        for packet in self._packets():
            if packet.dts is None:
                continue
            now = seconds(self.stream, packet.dts)
            first = now if first is None else first
            _check_gap(last, now)
            last = now
            if now - first > self._limits.seconds:
                raise too_long(self._limits)

    def _seek(self, ts: Fraction) -> bool:
        try:
            self.container.seek(round(ts / seconds(self.stream, 1)), stream=self.stream)
        except av.FFmpegError:
            return False
        self._decoder.flush_buffers()
        self._guess.rewind()
        return True

    def _shots(self) -> Iterator[Shot]:
        """Decoded frames; those whose time does not rise are left out."""
        self.faults = Faults()
        last: Shot | None = None
        for frame in self._frames():
            shot = self._shot(frame, last)
            if last and shot.stamp <= last.stamp:
                continue
            _check_gap(last.ts if last else None, shot.ts)
            last = shot
            yield shot

    def _shot(self, frame: VideoFrame, last: Shot | None) -> Shot:
        unit = seconds(self.stream, 1)
        rate = self.stream.guessed_rate or self.stream.average_rate or FPS
        duration = frame.duration or 0
        if not 0 < duration * unit <= LONGEST_GAP:
            duration = max(1, round(1 / rate / unit))
        stamp = self._guess.guess(frame.pts, frame.dts)
        if stamp is None:
            stamp = round((last.ts + last.duration) / unit) if last else 0
        return Shot(stamp, stamp * unit, duration * unit, frame)

    def _frames(self) -> Iterator[VideoFrame]:
        for packet in self._packets():
            for frame in self._decoded(packet):
                self.faults.frames += frame.is_corrupt
                check_pixels(frame.width, frame.height, self._limits)
                yield frame

    def _decoded(self, packet: "Packet[VideoStream]") -> list[VideoFrame]:
        """The packet's frames; none for a packet that cannot be decoded."""
        try:
            return self._decoder.decode(packet if packet.size else None)
        except (MemoryError, av.BlockingIOError) as error:  # BlockingIOError: no room for a thread
            raise DecodeLimit("decoding needs more memory than it may have; convert the file") from error
        except av.FFmpegError:
            self.faults.packets += 1
            return []

    def _packets(self) -> "Iterator[Packet[VideoStream]]":
        """The stream's packets, then an empty one; a file that breaks off ends there."""
        self._fresh = False
        packets = self.container.demux(self.stream)
        while True:
            self._beat()
            try:
                packet = next(packets, None)
            except (av.FFmpegError, IndexError):  # IndexError: a stream that appeared amid damage
                self.faults.packets += 1
                packet = None
            yield packet or cast("Packet[VideoStream]", Packet())
            if packet is None or not packet.size:
                return


def _check_gap(last: Fraction | None, now: Fraction) -> None:
    if last is not None and now - last > LONGEST_GAP:
        raise TimestampGap(
            f"{float(now - last):.0f} s without a frame after second {float(last):.1f}; cut the file there"
        )
