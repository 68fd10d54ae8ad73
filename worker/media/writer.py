"""The output: H.264 and AAC in an mp4 that plays before it is loaded whole, the same bytes for the same frames."""

import errno
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import cv2
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.container import OutputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream

from contract.errors import DiskFull, ResourceExhausted
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


@dataclass(frozen=True)
class Encoded:
    """One encoded picture. Times count frames of the whole output."""

    data: bytes
    pts: int
    dts: int
    is_key: bool


class VideoWriter:
    """Encodes frames at 25 fps beside the audio's track; `close` gives the facts.

    What is encoded between two calls of `cut` depends on no frame before or after it, and may as well be `take`n
    from an earlier writer of the same video: the file has the same bytes.

    x264 veryfast, crf 18, 4:2:0, tagged and meant as BT.709 limited. `threads` fixes the memory (x264's look-ahead)
    and is part of what makes the bytes the same. Leaving the context without `close` leaves a broken file: the
    caller removes it.

    Raises:
        ResourceExhausted: by `write`, `cut`, `take` and `close`, where the disk takes no more.
    """

    def __init__(self, path: Path, width: int, height: int, audio: Audio, *, threads: int) -> None:
        self._path, self._size = path, (width, height)
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        self._threads = threads
        self._video = _video_stream(self._container)
        self._configure(self._video.codec_context)  # only describes the stream in the file's header
        self._encoder: VideoCodecContext | None = None
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

    def write(self, frame: Frame) -> list[Encoded]:
        """Encode the next frame, whose planes may be reused afterwards. Gives what came out, which is in the file."""
        picture = VideoFrame(*self._size, "yuv420p")
        for target, plane in zip(picture.planes, (frame.y, frame.u, frame.v), strict=True):
            pixels(target)[:] = plane
        picture.pts, picture.time_base = self._frames, Fraction(1, FPS)
        self._frames += 1
        if self._encoder is None:
            self._encoder = self._new_encoder()
        return self._muxed(self._encoder.encode(picture))

    def cut(self) -> list[Encoded]:
        """End the segment: the next frame begins with a key frame of a fresh encoder. Gives what still came out."""
        encoder, self._encoder = self._encoder, None
        return self._muxed(encoder.encode(None)) if encoder else []

    def take(self, pictures: Iterable[Encoded]) -> None:
        """Put a whole segment into the file that was encoded before; only after a `cut`, or at the start."""
        for picture in pictures:
            self._frames += 1
            self._mux(picture)

    def close(self) -> EncodedFacts:
        """Finish the file."""
        self.cut()
        with _disk(self._path):
            self._write_sound(until=None)
            self._container.close()
        with self._path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return EncodedFacts(self._frames, self._path.stat().st_size, digest, *self._size, self._frames / FPS)

    def _new_encoder(self) -> VideoCodecContext:
        encoder = av.CodecContext.create("libx264", "w")
        self._configure(encoder)
        encoder.framerate = Fraction(FPS)
        encoder.flags |= Flags.global_header  # as in the stream's own
        return encoder

    def _configure(self, codec: VideoCodecContext) -> None:
        codec.width, codec.height, codec.pix_fmt = *self._size, "yuv420p"
        codec.time_base = Fraction(1, FPS)
        codec.thread_count = self._threads
        codec.color_range = ColorRange.MPEG
        codec.colorspace = Colorspace.ITU709
        codec.color_primaries = ColorPrimaries.BT709
        codec.color_trc = ColorTrc.BT709
        codec.options = {"preset": "veryfast", "crf": "18", **_same_everywhere()}

    def _muxed(self, packets: Iterable["Packet[VideoStream]"]) -> list[Encoded]:
        """The packets as records, which are in the file now."""
        pictures = [Encoded(bytes(each), each.pts or 0, each.dts or 0, each.is_keyframe) for each in packets]
        for picture in pictures:
            self._mux(picture)
        return pictures

    def _mux(self, picture: Encoded) -> None:
        packet = Packet(picture.data)
        packet.stream = self._video
        packet.time_base = Fraction(1, FPS)
        packet.pts, packet.dts, packet.is_keyframe = picture.pts, picture.dts, picture.is_key
        packet.duration = 1
        with _disk(self._path):
            self._write_sound(until=Fraction(picture.dts + 1, FPS))
            self._container.mux_one(packet)

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
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        refusal = f"{path} cannot be written ({error.strerror}); free some space"
        raise (DiskFull if full else ResourceExhausted)(refusal) from error


def _video_stream(container: OutputContainer) -> VideoStream:
    return container.add_stream("libx264", rate=FPS)


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
