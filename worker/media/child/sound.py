"""The audio of a file: mono 16 kHz for the engines, and an AAC track for the output."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer

from contract.errors import AudioTooShort, DecodeLimit, NoAudio
from worker.media.child.aac import (
    TRACK_RATE,
    AacEncoder,
    Resampled,
    Samples,
    Track,
    copyable,
    to_stereo,
)
from worker.media.child.container import (
    AUDIO_CODECS,
    audio_facts,
    audio_stream,
    check_codec,
    container_name,
    declared_seconds,
    open_media,
    too_long,
)
from worker.media.clock import FPS, SAMPLE_RATE
from worker.media.limits import Limits

_COUNTED = ("mp4", "wav", "flac")
"""Containers whose declared length is a count, not a guess from a bit rate."""
_STREAMED_BYTES = 0x7FFF_0000
"""RIFF sizes from here on are written by programs that could not go back and put the real one."""
_TRUNCATION_SECONDS = Fraction(1, 2)
_PART_PACKETS = 4096


class Sound:
    """The first audio stream of a file: `samples`, then `track`, then `result`; `beat` is called for every packet.

    Raises:
        NoAudio, AudioTooShort, FormatForbidden, NotMedia, InputTooLarge, DecodeLimit
    """

    def __init__(self, path: Path, limits: Limits, beat: Callable[[], None]) -> None:
        self._path, self._limits, self._beat = path, limits, beat
        container, stream = self._open()
        self._facts = audio_facts(container, stream)
        self._declared = _counted_seconds(path, container, stream)
        self._track = copyable(container, stream, beat)
        container.close()
        self._seconds = Fraction(0)
        self._faults = 0

    def samples(self) -> Iterator[Samples]:
        """Mono 16 kHz float32, the mean of the channels, in pieces; also makes the track."""
        encoder = None if self._track else _Transcoder()
        mono = Resampled(SAMPLE_RATE, 1)
        decoded = 0
        for frame, samples in self._decoded():
            decoded += frame.samples
            yield from (
                piece[0] for piece in mono.feed(samples.mean(axis=0, keepdims=True), frame.sample_rate)
            )
            if encoder:
                encoder.feed(frame, samples)
        yield from (piece[0] for piece in mono.finish())
        if self._seconds < Fraction(1, FPS):
            raise AudioTooShort(
                f"{float(self._seconds) * 1000:.0f} ms of audio; at least {1000 // FPS} ms are needed"
            )
        if encoder:
            self._track = encoder.finish()
        elif self._track and not self._track.matches(decoded):
            self._track = self._transcoded()

    def track(self) -> Iterator[tuple[list[int], bytes]]:
        """The track's packets in parts: their sizes, and all their bytes."""
        packets = self._made().packets
        for begin in range(0, len(packets), _PART_PACKETS):
            part = packets[begin : begin + _PART_PACKETS]
            yield [len(packet) for packet in part], b"".join(part)

    def result(self) -> dict[str, Any]:
        """Everything else the parent wants to know."""
        track = self._made()
        return {
            "seconds": self._seconds.as_integer_ratio(),
            "sample_rate": track.sample_rate,
            "channels": track.channels,
            "priming": track.priming,
            "copied": track.copied,
            "facts": {**self._facts, "duration_seconds": float(self._seconds)},
            "warnings": list(self._warnings()),
        }

    def _open(self) -> tuple[InputContainer, AudioStream]:
        container = open_media(self._path)
        stream = audio_stream(container)
        if stream is None:
            raise NoAudio("no audio stream; give a file with sound")
        check_codec(stream, AUDIO_CODECS)
        return container, stream

    def _made(self) -> Track:
        if self._track is None:
            raise NoAudio("none of its audio decodes; export it again")
        return self._track

    def _transcoded(self) -> Track:
        """The track from a second reading, where the packets turned out not to be what is heard."""
        encoder = _Transcoder()
        self._seconds, self._faults = Fraction(0), 0
        for frame, samples in self._decoded():
            encoder.feed(frame, samples)
        return encoder.finish()

    def _decoded(self) -> Iterator[tuple[AudioFrame, Samples]]:
        """Frames and their samples, (channels, n) float32 in -1..1."""
        container, stream = self._open()
        to_float = AudioResampler(format="fltp")
        kind: tuple[str, str, int] | None = None
        for frame in self._frames(container, stream):
            if kind != (kind := (frame.format.name, frame.layout.name, frame.sample_rate)):
                to_float = AudioResampler(format="fltp")
            self._seconds += Fraction(frame.samples, frame.sample_rate)
            if self._seconds > self._limits.seconds:
                raise too_long(self._limits)
            frame.pts = None
            for part in to_float.resample(frame):
                yield part, np.nan_to_num(part.to_ndarray(), copy=False, posinf=1.0, neginf=-1.0)
        container.close()
        if not self._seconds:
            raise NoAudio("none of its audio decodes; export it again")

    def _frames(self, container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
        packets = container.demux(stream)
        while True:
            self._beat()
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                frames = packet.decode()
            except MemoryError as error:
                raise DecodeLimit("decoding needs more memory than it may have; convert the file") from error
            except (av.FFmpegError, IndexError):  # IndexError: a stream that appeared amid damage
                self._faults += 1
                continue
            yield from frames

    def _warnings(self) -> Iterator[tuple[str, str]]:
        if self._faults:
            yield "audio_corrupt", f"{self._faults} packets of the audio could not be decoded"
        declared = self._declared
        if declared and declared - self._seconds > _TRUNCATION_SECONDS:
            yield (
                "audio_truncated",
                f"the audio ends after {float(self._seconds):.2f} s of the {float(declared):.2f} s it declares; "
                "what is there was used",
            )


def _counted_seconds(path: Path, container: InputContainer, stream: AudioStream) -> Fraction | None:
    """The length that the headers count; None where there is none, or only a guess."""
    name = container_name(container)
    declared = declared_seconds(container, stream) if name in _COUNTED else None
    bit_rate = stream.codec_context.bit_rate
    if name != "wav" or not declared or not bit_rate:
        return declared
    return declared + Fraction(8 * _bytes_cut_off(path), bit_rate)


def _bytes_cut_off(path: Path) -> int:
    """By how much a WAV file is shorter than its RIFF header says; libav tells the length of what is there."""
    with path.open("rb") as file:
        head = file.read(8)
    size = int.from_bytes(head[4:], "little") + len(head)
    if not head.startswith(b"RIFF") or size >= _STREAMED_BYTES:
        return 0
    return max(0, size - path.stat().st_size)


class _Transcoder:
    """Decoded frames into an AAC track."""

    def __init__(self) -> None:
        self._encoder = AacEncoder()
        self._resampled = Resampled(TRACK_RATE, 2)

    def feed(self, frame: AudioFrame, samples: Samples) -> None:
        stereo = to_stereo(samples, tuple(channel.name for channel in frame.layout.channels))
        for piece in self._resampled.feed(stereo, frame.sample_rate):
            self._encoder.feed(piece)

    def finish(self) -> Track:
        for piece in self._resampled.finish():
            self._encoder.feed(piece)
        return self._encoder.finish()
