"""The output: H.264 and AAC in an mp4 that plays before it is loaded whole, the same bytes for the same frames."""

import errno
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import av
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.container import OutputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream

from contract.errors import DiskFull, EngineFailed, ResourceExhausted
from worker.media.audio import PACKET_SAMPLES, Audio
from worker.media.clock import FPS
from worker.media.encoder import Encoder, x264
from worker.media.frame import Frame
from worker.media.planes import pixels


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
    encoder: str = "x264"
    """Of the pictures: the `name` of an `Encoder`."""
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

    4:2:0, tagged and meant as BT.709 limited, by the `encoder` (None: x264). `threads` fixes the memory (x264's
    look-ahead) and is part of what makes the bytes the same. Leaving the context without `close` leaves a broken
    file: the caller removes it.

    Raises:
        EngineFailed: by all but `take`, where the encoder fails, or its device.
        ResourceExhausted: by `write`, `cut`, `take`, `clip` and `close`, where the disk takes no more.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        audio: Audio,
        *,
        threads: int,
        encoder: Encoder | None = None,
    ) -> None:
        self._path, self._size, self._threads = path, (width, height), threads
        self._by = encoder or x264()
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        self._video = _video_stream(self._container, self._by)
        self._open(self._video.codec_context)  # only describes the stream in the file's header
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
        return self._muxed(self._encoder, picture)

    def cut(self) -> list[Encoded]:
        """End the segment: the next frame begins with a key frame of a fresh encoder. Gives what still came out."""
        encoder, self._encoder = self._encoder, None
        return self._muxed(encoder, None) if encoder else []

    def take(self, pictures: Iterable[Encoded]) -> None:
        """Put a whole segment into the file that was encoded before; only after a `cut`, or at the start."""
        for picture in pictures:
            self._frames += 1
            self._mux(picture)

    def clip(self, path: Path, pictures: Sequence[Encoded]) -> None:
        """Make a file of a whole segment that this one has, as it was encoded, without sound."""
        first = min(each.pts for each in pictures)
        with _disk(path), av.open(str(path), "w", format="mp4") as container:
            stream = container.add_stream_from_template(self._video)
            for each in pictures:
                moved = replace(each, pts=each.pts - first, dts=each.dts - first)
                container.mux_one(_packet(moved, stream))

    def close(self) -> EncodedFacts:
        """Finish the file."""
        self.cut()
        with _disk(self._path):
            self._write_sound(until=None)
            self._container.close()
        with self._path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size, seconds = self._path.stat().st_size, self._frames / FPS
        return EncodedFacts(self._frames, size, digest, *self._size, seconds, self._by.name)

    def _new_encoder(self) -> VideoCodecContext:
        encoder = cast(VideoCodecContext, av.CodecContext.create(self._by.codec, "w"))
        encoder.framerate = Fraction(FPS)
        encoder.flags |= Flags.global_header  # as in the stream's own
        self._open(encoder)
        return encoder

    def _open(self, codec: VideoCodecContext) -> None:
        codec.width, codec.height, codec.pix_fmt = *self._size, "yuv420p"
        codec.time_base = Fraction(1, FPS)
        codec.thread_count = self._threads
        codec.color_range = ColorRange.MPEG
        codec.colorspace = Colorspace.ITU709
        codec.color_primaries = ColorPrimaries.BT709
        codec.color_trc = ColorTrc.BT709
        codec.options = dict(self._by.options)
        with _encoding(self._by):
            codec.open()

    def _muxed(self, encoder: VideoCodecContext, picture: VideoFrame | None) -> list[Encoded]:
        """What came out for the picture (None: all that is left), which is in the file now."""
        with _encoding(self._by):
            packets = encoder.encode(picture)
        pictures = [Encoded(bytes(each), each.pts or 0, each.dts or 0, each.is_keyframe) for each in packets]
        for each in pictures:
            self._mux(each)
        return pictures

    def _mux(self, picture: Encoded) -> None:
        with _disk(self._path):
            self._write_sound(until=Fraction(picture.dts + 1, FPS))
            self._container.mux_one(_packet(picture, self._video))

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


@contextmanager
def _encoding(encoder: Encoder) -> Iterator[None]:
    """The door to the encoders: whatever one says, another process may have better luck with the device."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise EngineFailed(f"the encoder {encoder.name} failed: {error}; see DUBLINE_ENCODER") from error


def _packet(picture: Encoded, stream: VideoStream) -> "Packet[VideoStream]":
    packet = cast("Packet[VideoStream]", Packet(picture.data))
    packet.stream = stream
    packet.time_base = Fraction(1, FPS)
    packet.pts, packet.dts, packet.is_keyframe = picture.pts, picture.dts, picture.is_key
    packet.duration = 1
    return packet


def _video_stream(container: OutputContainer, encoder: Encoder) -> VideoStream:
    return cast(VideoStream, container.add_stream(encoder.codec, rate=FPS))


def _sound_stream(container: OutputContainer, audio: Audio) -> AudioStream:
    """A stream for ready-made packets; its encoder only writes the description of AAC-LC into the file."""
    track = audio.track
    stream = container.add_stream("aac", rate=track.sample_rate)
    stream.codec_context.layout = "mono" if track.channels == 1 else "stereo"
    return stream
