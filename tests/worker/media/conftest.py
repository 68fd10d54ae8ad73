"""Clips made on the spot. Every frame carries its own number, which survives lossy coding, so that "which source
frame is shown at output k" is exact."""

import random
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from worker.media.limits import Limits

CELLS = 10
"""Of the bar code at the top: always white, eight bits of the number, always black."""


def numbered(number: int, width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8 RGB: a smooth picture under a bar code of `number` (0..255)."""
    across = np.linspace(60, 190, width)[None, :]
    down = np.linspace(60, 190, height)[:, None]
    rgb = np.stack([across + 0 * down, down + 0 * across, (across + down) / 2], axis=-1)
    bits = [1, *((number >> bit) & 1 for bit in range(7, -1, -1)), 0]
    edges = np.linspace(0, width, CELLS + 1).round().astype(int)
    for bit, left, right in zip(bits, edges, edges[1:], strict=False):
        rgb[: height // 6, left:right] = 230 if bit else 25
    return rgb.round().astype(np.uint8)


def number_of(luma: np.ndarray) -> int:
    """The number in a picture's bar code; fails where the picture is not upright."""
    height, width = luma.shape
    centres = [round((cell + 0.5) * width / CELLS) for cell in range(CELLS)]
    bits = [int(luma[height // 12, centre] > 128) for centre in centres]
    assert (bits[0], bits[-1]) == (1, 0), f"no upright bar code: {bits}"
    return int("".join(map(str, bits[1:-1])), 2)


@dataclass(frozen=True)
class Clips:
    """Makes clips in one folder."""

    folder: Path

    def video(
        self,
        name: str,
        frames: int | Sequence[np.ndarray] = 50,
        rate: Fraction | int = 25,
        *,
        size: tuple[int, int] = (160, 120),
        codec: str = "libx264",
        pix_fmt: str = "yuv420p",
        times: Sequence[float] | None = None,
        options: dict[str, str] | None = None,
        mux: dict[str, str] | None = None,
        matrix: Colorspace = Colorspace.ITU709,
        colour_range: ColorRange = ColorRange.MPEG,
        tags: dict[str, Any] | None = None,
        pixel_shape: Fraction | None = None,
        audio_seconds: float = 0,
    ) -> Path:
        """A clip of numbered (or given RGB) frames; `times` in seconds makes it VFR."""
        path = self.folder / name
        pictures = [numbered(n, *size) for n in range(frames)] if isinstance(frames, int) else frames
        unit = Fraction(1, 90_000) if times else 1 / Fraction(rate)
        with av.open(str(path), "w", options=mux or {}) as container:
            stream = container.add_stream(codec, rate=rate, options=options or {})
            stream.width, stream.height, stream.pix_fmt = size[0], size[1], pix_fmt
            stream.codec_context.time_base = unit
            tagged = {"colorspace": matrix, "color_range": colour_range} if tags is None else tags
            for tag, value in tagged.items():
                setattr(stream.codec_context, tag, value)
            if pixel_shape:
                stream.codec_context.sample_aspect_ratio = pixel_shape
            if audio_seconds:
                sound = container.add_stream("aac", rate=48_000)
            for index, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(
                    picture, format="rgba" if picture.shape[2] == 4 else "rgb24"
                ).reformat(format=pix_fmt, dst_colorspace=matrix, dst_color_range=colour_range)
                frame.time_base = unit
                frame.pts = round(times[index] / unit) if times else index
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
            if audio_seconds:
                for frame in _audio_frames(self.tone(audio_seconds, 48_000, 2), 48_000):
                    container.mux(sound.encode(frame))
                container.mux(sound.encode(None))
        return path

    def audio(
        self, name: str, samples: np.ndarray, rate: int, codec: str = "aac", faststart: bool = False
    ) -> Path:
        """(n, channels) float samples through an encoder; `pcm_s16le` keeps them as they are."""
        path = self.folder / name
        with av.open(str(path), "w", options=FASTSTART if faststart else {}) as container:
            stream = container.add_stream(codec, rate=rate)
            stream.codec_context.layout = LAYOUTS[samples.shape[1]]
            for frame in _audio_frames(samples, rate):
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    def file(self, name: str, content: bytes | str) -> Path:
        """Any bytes under any name."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    numbered = staticmethod(numbered)
    number_of = staticmethod(number_of)

    @staticmethod
    def png_of(width: int, height: int, rows: int | None = None) -> bytes:
        """A black PNG of one bit a pixel; only `rows` of what it claims where given."""

        def chunk(kind: bytes, body: bytes) -> bytes:
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
        pixels = zlib.compress(bytes((width // 8 + 1) * (rows or height)), 1)
        return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")

    @staticmethod
    def tone(seconds: float, rate: int, channels: int = 1, hertz: float = 330.0) -> np.ndarray:
        """(n, channels) float samples of a sine at half scale."""
        time = np.arange(round(seconds * rate)) / rate
        return np.repeat(0.5 * np.sin(2 * np.pi * hertz * time)[:, None], channels, axis=1)

    @staticmethod
    def turn(path: Path, matrix: tuple[int, int, int, int]) -> Path:
        """Write a display matrix (its a, b, c, d in whole numbers) into the track header of an mp4, in place."""
        content = bytearray(path.read_bytes())
        at = content.index(b"tkhd") + 4 + 40  # ISO/IEC 14496-12, 8.3.2, version 0
        a, b, c, d = (value << 16 for value in matrix)
        content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
        path.write_bytes(content)
        return path

    @staticmethod
    def edit(path: Path, media_time: int) -> Path:
        """Make the one edit of an mp4's only track begin at that media time, in the track's units, in place."""
        content = bytearray(path.read_bytes())
        at = content.index(b"elst") + 4 + 4 + 4 + 4  # ISO/IEC 14496-12, 8.6.6, version 0: after the duration
        content[at : at + 4] = struct.pack(">i", media_time)
        path.write_bytes(content)
        return path

    @staticmethod
    def declare(path: Path, seconds: int) -> Path:
        """Make the headers of an mp4 claim that length, in place."""
        content = bytearray(path.read_bytes())
        # ISO/IEC 14496-12, version 0: mvhd 8.2.2, mdhd 8.4.2 and tkhd 8.3.2, whose duration counts in mvhd's units
        at = {name: content.index(name) + 4 for name in (b"mvhd", b"mdhd", b"tkhd")}
        for name, scale_at, duration_at in ((b"mvhd", 12, 16), (b"mdhd", 12, 16), (b"tkhd", None, 20)):
            scale_box = at[name] + scale_at if scale_at else at[b"mvhd"] + 12
            (scale,) = struct.unpack_from(">I", content, scale_box)
            struct.pack_into(">I", content, at[name] + duration_at, scale * seconds)
        path.write_bytes(content)
        return path

    @staticmethod
    def cut(path: Path, kept: float) -> Path:
        """Keep only that fraction of the file, in place."""
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * kept)])
        return path

    @staticmethod
    def damage(path: Path, begin: float, step: int = 10) -> Path:
        """Noise over every tenth byte from that fraction of the file on, in place."""
        content, noise = bytearray(path.read_bytes()), random.Random(0)
        for at in range(int(len(content) * begin), len(content), step):
            content[at] = noise.randrange(256)
        path.write_bytes(content)
        return path


FASTSTART = {"movflags": "+faststart"}
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


def _audio_frames(samples: np.ndarray, rate: int) -> Iterator[av.AudioFrame]:
    for begin in range(0, len(samples), 1024):
        part = np.ascontiguousarray(samples[begin : begin + 1024].T, dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=LAYOUTS[samples.shape[1]])
        frame.sample_rate, frame.pts, frame.time_base = rate, begin, Fraction(1, rate)
        yield frame


@pytest.fixture
def clips(tmp_path: Path) -> Clips:
    """A folder of this test's own clips."""
    return Clips(tmp_path)


@pytest.fixture
def limits() -> Limits:
    """The bounds of production, but quick to give up."""
    return Limits(stall_seconds=20.0, cpu_seconds=60)


@pytest.fixture
def numbers() -> Callable[[Any], list[int]]:
    """The numbers that frames show."""
    return lambda frames: [number_of(frame.y) for frame in frames]
