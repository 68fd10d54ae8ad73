"""The output's AAC track: packets taken over where that keeps sync exactly, else encoded anew."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np
import soxr
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from numpy.typing import NDArray

from worker.media.child.container import container_name

PACKET_SAMPLES = 1024  # ISO/IEC 14496-3, AAC-LC
TRACK_RATE = 48_000
TRACK_BIT_RATE = 192_000
_MOST_PRIMING = 4 * PACKET_SAMPLES
_RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000)
"""ISO/IEC 14496-3, table 1.18, by index."""
_AAC_LC = 2  # audio object type
_SIDE = 0.5**0.5  # ITU-R BS.775, annex 4

Samples = NDArray[np.float32]


@dataclass
class Track:
    """AAC-LC packets of 1024 samples each, the first `priming` samples of which are not heard."""

    sample_rate: int
    channels: int
    priming: int = 0
    copied: bool = False
    packets: list[bytes] = field(default_factory=list)

    def matches(self, decoded_samples: int) -> bool:
        """Whether the packets are what was decoded: no edit cuts out more than the padding of the last packet."""
        cut = len(self.packets) * PACKET_SAMPLES - self.priming - decoded_samples
        return 0 <= cut < PACKET_SAMPLES


def copyable(container: InputContainer, stream: AudioStream, beat: Callable[[], None]) -> Track | None:
    """The stream's own packets, where they are AAC-LC of an mp4 and run on without a gap; else None.

    `beat` is called for every packet: they may lie far apart in a file that is mostly video.
    """
    codec = stream.codec_context
    if container_name(container) != "mp4" or codec.name != "aac" or not _is_plain(codec):
        return None
    track = Track(codec.sample_rate, codec.channels, copied=True)
    first = None
    try:
        for packet in container.demux(stream):
            beat()
            if not packet.size:
                break
            first = packet.pts if first is None else first
            if not _is_next(packet, first, track):
                return None
            track.packets.append(bytes(packet))
    except av.FFmpegError:
        return None
    track.priming = max(0, -(first or 0))
    return track if track.priming <= _MOST_PRIMING else None


def _is_plain(codec: AudioCodecContext) -> bool:
    """Mono or stereo AAC-LC with exactly the configuration that our own encoder writes."""
    if codec.profile != "LC" or codec.channels > 2 or codec.sample_rate not in _RATES:
        return False
    configuration = _AAC_LC << 11 | _RATES.index(codec.sample_rate) << 7 | codec.channels << 3
    return (codec.extradata or b"")[:2] == configuration.to_bytes(2, "big")


def _is_next(packet: "Packet[AudioStream]", first: int | None, track: Track) -> bool:
    if packet.pts is None or first is None or packet.is_corrupt:
        return False
    in_samples = packet.time_base == Fraction(1, track.sample_rate)
    return in_samples and packet.pts == first + len(track.packets) * PACKET_SAMPLES


class AacEncoder:
    """AAC-LC, 48 kHz stereo, 192 kbit/s, from samples of any rate and layout."""

    def __init__(self) -> None:
        self._codec = av.CodecContext.create("aac", "w")
        self._codec.sample_rate = TRACK_RATE
        self._codec.layout = "stereo"
        self._codec.format = "fltp"
        self._codec.bit_rate = TRACK_BIT_RATE
        self._codec.time_base = Fraction(1, TRACK_RATE)
        self._samples = 0
        self.track = Track(TRACK_RATE, 2)

    def feed(self, stereo: Samples) -> None:
        """Take (2, n) samples at 48 kHz."""
        if not stereo.shape[1]:
            return
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(stereo), format="fltp", layout="stereo")
        frame.sample_rate = TRACK_RATE
        frame.time_base = Fraction(1, TRACK_RATE)
        frame.pts = self._samples
        self._samples += stereo.shape[1]
        self._take(frame)

    def finish(self) -> Track:
        """The whole track."""
        self._take(None)
        return self.track

    def _take(self, frame: AudioFrame | None) -> None:
        for packet in self._codec.encode(frame):
            if not self.track.packets:
                self.track.priming = max(0, -(packet.pts or 0))
            self.track.packets.append(bytes(packet))


def to_stereo(samples: Samples, channels: tuple[str, ...]) -> Samples:
    """(2, n) from (channels, n): mono on both sides, surround by BS.775 weights that cannot clip."""
    if len(samples) == 1:
        return np.repeat(samples, 2, axis=0)
    if len(samples) == 2:
        return samples
    left = np.array([_WEIGHTS.get(name, (0.0, 0.0))[0] for name in channels], dtype=np.float32)
    right = np.array([_WEIGHTS.get(name, (0.0, 0.0))[1] for name in channels], dtype=np.float32)
    if not left.any() or not right.any():  # an unnamed layout
        left = right = np.ones(len(samples), dtype=np.float32)
    mix = np.stack([left / left.sum(), right / right.sum()])
    return np.asarray(mix @ samples, dtype=np.float32)


_WEIGHTS = {
    "FL": (1.0, 0.0),
    "FR": (0.0, 1.0),
    "FC": (_SIDE, _SIDE),
    "BL": (_SIDE, 0.0),
    "BR": (0.0, _SIDE),
    "SL": (_SIDE, 0.0),
    "SR": (0.0, _SIDE),
    "BC": (_SIDE / 2, _SIDE / 2),
}
"""What each channel gives to left and right; the low-frequency channel gives nothing."""


class Resampled:
    """Samples of changing rates at one rate, by soxr HQ; `feed` takes and gives (channels, n) float32."""

    def __init__(self, rate: int, channels: int) -> None:
        self._rate, self._channels = rate, channels
        self._stream: soxr.ResampleStream | None = None
        self._from = 0

    def feed(self, samples: Samples, rate: int) -> Iterator[Samples]:
        """What is ready after these samples."""
        if rate != self._from:
            yield from self.finish()
            self._from = rate
            if rate != self._rate:
                self._stream = soxr.ResampleStream(rate, self._rate, self._channels, "float32", "HQ")
        yield _resampled(self._stream, samples, last=False) if self._stream else samples

    def finish(self) -> Iterator[Samples]:
        """What the filter still holds."""
        if self._stream:
            yield _resampled(self._stream, np.zeros((self._channels, 0), np.float32), last=True)
        self._stream = None


def _resampled(stream: soxr.ResampleStream, samples: Samples, last: bool) -> Samples:
    rows = np.ascontiguousarray(samples.T)
    done = stream.resample_chunk(rows if len(samples) > 1 else rows[:, 0], last)
    return np.asarray(done, dtype=np.float32).reshape(-1, len(samples)).T
