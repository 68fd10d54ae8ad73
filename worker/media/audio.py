"""The audio of a job: what the engines listen to, and the AAC track that the output carries."""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from contract.manifest import MediaFacts, WarningRecord
from worker.media.clock import FPS, SAMPLE_RATE, frames_of
from worker.media.decoder import Decoder
from worker.media.limits import Limits

PACKET_SAMPLES = 1024  # ISO/IEC 14496-3, AAC-LC


@dataclass(frozen=True)
class AacTrack:
    """AAC-LC packets of 1024 samples each, mono or stereo; the first `priming` samples are not heard.

    `copied` tells whether the packets are the input's own.
    """

    sample_rate: int
    channels: int
    priming: int
    copied: bool
    sizes: "array[int]"
    payload: bytes | bytearray

    def packets(self) -> Iterator[memoryview]:
        """The packets in order, uncopied."""
        whole, begin = memoryview(self.payload), 0
        for size in self.sizes:
            yield whole[begin : begin + size]
            begin += size

    def fitted(self, seconds: Fraction) -> "AacTrack":
        """Cut, or padded with silence, to that length rounded up to whole packets."""
        wanted = -(-(seconds * self.sample_rate + self.priming) // PACKET_SAMPLES)
        missing = wanted - len(self.sizes)
        if missing <= 0:
            sizes = self.sizes[:wanted]
            return replace(self, sizes=sizes, payload=self.payload[: sum(sizes)])
        silence = _silent_packet(self.sample_rate, self.channels)
        return replace(
            self,
            sizes=self.sizes + array("I", [len(silence)]) * missing,
            payload=self.payload + silence * missing,
        )


@dataclass(frozen=True)
class Audio:
    """`samples_16k` is mono float32 in -1..1 at 16 kHz, `seconds` the decoded length, exact."""

    samples_16k: NDArray[np.float32]
    seconds: Fraction
    track: AacTrack
    facts: MediaFacts
    warnings: tuple[WarningRecord, ...] = ()

    @property
    def frames(self) -> int:
        """Output frames that the audio asks for: its length at 25 fps, rounded up."""
        return frames_of(self.seconds)

    def fitted(self, frames: int) -> "Audio":
        """The audio of an output of that many frames: as it is where they agree, else cut or padded with silence."""
        if frames == self.frames:
            return self
        samples = np.zeros(frames * SAMPLE_RATE // FPS, np.float32)
        kept = self.samples_16k[: len(samples)]
        samples[: len(kept)] = kept
        seconds = Fraction(frames, FPS)
        return replace(self, samples_16k=samples, seconds=seconds, track=self.track.fitted(seconds))


def read_audio(path: Path, limits: Limits, touch: Callable[[], None] = lambda: None) -> Audio:
    """The first audio stream of an audio or video file, decoded once in a child; `touch` as for `Decoder`.

    Raises:
        NoAudio, AudioTooShort, and whatever else is wrong with the file.
    """
    samples, payload, sizes = bytearray(), bytearray(), array("I")
    end: dict[str, Any] = {}
    with Decoder(path, limits, touch) as decoder:
        decoder.ask("audio")
        for message in decoder.answers():
            if message.kind == "samples":
                samples += decoder.read(message.payload_bytes)
            elif message.kind == "packets":
                payload += decoder.read(message.payload_bytes)
                sizes.extend(message.fields["sizes"])
            else:
                end = message.fields
    track = AacTrack(end["sample_rate"], end["channels"], end["priming"], end["copied"], sizes, payload)
    warnings = tuple(WarningRecord(code=code, message=text) for code, text in end["warnings"])
    facts = MediaFacts(**end["facts"])
    return Audio(np.frombuffer(samples, np.float32), Fraction(*end["seconds"]), track, facts, warnings)


def _silent_packet(sample_rate: int, channels: int) -> bytes:
    """One packet of silence, from an encoder that has heard nothing else."""
    layout = "mono" if channels == 1 else "stereo"
    encoder = av.CodecContext.create("aac", "w")
    encoder.sample_rate, encoder.layout, encoder.format = sample_rate, layout, "fltp"
    encoder.time_base = Fraction(1, sample_rate)
    silence = np.zeros((channels, 4 * PACKET_SAMPLES), np.float32)
    frame = AudioFrame.from_ndarray(silence, format="fltp", layout=layout)
    frame.sample_rate = sample_rate
    return bytes(encoder.encode(frame)[-1])
