"""The output: H.264 and AAC in an mp4 that plays before it is loaded whole, the same bytes for the same frames."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import cv2
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream

from contract.errors import ResourceExhausted
from worker.media.audio import PACKET_SAMPLES, Audio
from worker.media.clock import FPS
from worker.media.frame import Frame
from worker.media.planes import pixels

_AVX_512F = 13
"""CV_CPU_AVX_512F of opencv2/core/cvdef.h, for which Python's cv2 has no name."""
_UP_TO_AVX2 = "MMX2,SSE2Fast,SSSE3,SSE4.2,AVX,FMA3,BMI2,AVX2"


@dataclass(frozen=True)
class EncodedFacts:
    """The finished file."""

    frames: int
    bytes: int
    sha256: str
    width: int
    height: int
    duration_seconds: float
    """Of the pictures."""
    fps: str = str(FPS)
    video_codec: str = "h264"
    audio_codec: str = "aac"


class VideoWriter:
    """Encodes frames at 25 fps beside the audio's track; `close` gives the facts.

    x264 veryfast, crf 18, 4:2:0, tagged and meant as BT.709 limited. `threads` fixes the memory (x264's look-ahead)
    and is part of what makes the bytes the same. Leaving the context without `close` leaves a broken file: the
    caller removes it.

    Raises:
        ResourceExhausted: by `write` and `close`, where the disk takes no more.
    """

    def __init__(self, path: Path, width: int, height: int, audio: Audio, *, threads: int) -> None:
        self._path, self._size = path, (width, height)
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        self._video = _video_stream(self._container, width, height, threads)
        self._sound = _sound_stream(self._container, audio)
        self._track, self._packets = audio.track, audio.track.packets()
        self._frames = self._sound_packets = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # after an error that tells more; after `close` there is nothing left to do
            self._container.close()

    def write(self, frame: Frame) -> None:
        """Encode the next frame; its planes may be reused afterwards."""
        picture = VideoFrame(*self._size, "yuv420p")
        for target, plane in zip(picture.planes, (frame.y, frame.u, frame.v), strict=True):
            pixels(target)[:] = plane
        picture.pts, picture.time_base = self._frames, Fraction(1, FPS)
        self._frames += 1
        with _disk(self._path):
            self._container.mux(self._video.encode(picture))
            self._write_sound(until=Fraction(self._frames, FPS))

    def close(self) -> EncodedFacts:
        """Finish the file."""
        with _disk(self._path):
            self._container.mux(self._video.encode(None))
            self._write_sound(until=None)
            self._container.close()
        with self._path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return EncodedFacts(self._frames, self._path.stat().st_size, digest, *self._size, self._frames / FPS)

    def _write_sound(self, until: Fraction | None) -> None:
        """Mux the packets that begin before that time; all of them for None."""
        while until is None or self._sound_start() < until * self._track.sample_rate:
            data = next(self._packets, None)
            if data is None:
                return
            packet = Packet(bytes(data))
            packet.stream = self._sound
            packet.time_base = Fraction(1, self._track.sample_rate)
            packet.pts = packet.dts = self._sound_start()
            packet.duration = PACKET_SAMPLES
            packet.is_keyframe = True
            self._sound_packets += 1
            self._container.mux_one(packet)

    def _sound_start(self) -> int:
        """When the next packet begins, in samples; the first ones before 0, where nothing is heard."""
        return self._sound_packets * PACKET_SAMPLES - self._track.priming


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """The door of the encoder: what the disk refuses is ours to try again."""
    try:
        yield
    except OSError as error:
        raise ResourceExhausted(f"{path} cannot be written ({error.strerror}); free some space") from error


def _video_stream(container: OutputContainer, width: int, height: int, threads: int) -> VideoStream:
    options = {"preset": "veryfast", "crf": "18", **_same_everywhere()}
    stream = container.add_stream("libx264", rate=FPS, options=options)
    codec = stream.codec_context
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.time_base = Fraction(1, FPS)
    codec.thread_count = threads
    codec.color_range = ColorRange.MPEG
    codec.colorspace = Colorspace.ITU709
    codec.color_primaries = ColorPrimaries.BT709
    codec.color_trc = ColorTrc.BT709
    return stream


def _same_everywhere() -> dict[str, str]:
    """x264's options without its AVX-512 code, whose macroblock tree depends on memory that nobody wrote.

    The same frames give other bytes each time with it, and with SSE, AVX or AVX2 always the same ones.
    """
    return {"x264-params": f"asm={_UP_TO_AVX2}"} if cv2.checkHardwareSupport(_AVX_512F) else {}


def _sound_stream(container: OutputContainer, audio: Audio) -> AudioStream:
    """A stream for ready-made packets; its encoder only writes the description of AAC-LC into the file."""
    track = audio.track
    stream = container.add_stream("aac", rate=track.sample_rate)
    stream.codec_context.layout = "mono" if track.channels == 1 else "stereo"
    return stream
