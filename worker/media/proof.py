"""What an encoder is worth, proved on a moving picture: `python -m worker.media.proof '<an Encoder as JSON>'`.

A driver that is broken may hang or end its process, so this runs in one of its own; the answer is one line of JSON.
"""

import json
import sys
from array import array
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import av
import numpy as np
from av.logging import ERROR, Capture, set_level
from av.video.reformatter import ColorRange, Colorspace
from pydantic import model_validator

from contract.errors import DublineError
from contract.job import Boundary
from contract.manifest import MediaFacts
from worker.media.audio import AacTrack, Audio
from worker.media.clock import FPS
from worker.media.encoder import SMALLEST, Encoder
from worker.media.frame import Frame, Pixels
from worker.media.planes import pixels
from worker.media.writer import VideoWriter

FRAMES, CUT = 40, 20
"""Of the trial, and where its second segment begins."""
LEAST_PSNR = 30.0
"""Decibels of luma, in every frame: x264 has 44 here."""


class Proof(Boundary):
    """Of an encoder that works, the `sha256` of what it made; of another the `fault`."""

    sha256: str | None = None
    fault: str | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.sha256 is None and self.fault is None:
            raise ValueError("neither a proof nor a fault")
        return self


class Unfit(Exception):
    """What the encoder made is no video of ours."""


def proved(encoder: Encoder) -> str:
    """The SHA-256 of what it makes of two segments, which were read back and are right.

    Raises:
        Unfit: they are not.
        EngineFailed: the encoder failed.
    """
    frames = list(_wobbling())
    with TemporaryDirectory(prefix="dubline-proof-") as folder:
        path = Path(folder) / "proof.mp4"
        with VideoWriter(path, SMALLEST, SMALLEST, _silence(), threads=1, encoder=encoder) as writer:
            for frame in frames:
                if frame.index == CUT:
                    writer.cut()
                writer.write(frame)
            sha256 = writer.close().sha256
        _check_packets(path)
        _check_pictures(path, frames)
    return sha256


def _check_packets(path: Path) -> None:
    """One for each frame, a key frame where a segment begins, and times that join."""
    with av.open(str(path)) as container:
        packets = [each for each in container.demux(video=0) if each.size]
    begin = min(each.pts or 0 for each in packets)
    unit = Fraction(1, FPS) / (packets[0].time_base or 1)
    shown = {((each.pts or 0) - begin) / unit: each.is_keyframe for each in packets}
    if sorted(shown) != list(range(FRAMES)):
        raise Unfit(f"{FRAMES} frames became {len(packets)} packets, or their times do not follow each other")
    if not (shown[Fraction(0)] and shown[Fraction(CUT)]):
        raise Unfit("a segment does not begin with a key frame")


def _check_pictures(path: Path, frames: list[Frame]) -> None:
    """All frames in their order, near what they were, and tagged."""
    with av.open(str(path)) as container:
        shown = list(container.decode(video=0))
    if len(shown) != len(frames):
        raise Unfit(f"{len(frames)} frames went in and {len(shown)} came out")
    for before, after in zip(frames, shown, strict=True):
        if (after.colorspace, after.color_range) != (Colorspace.ITU709, ColorRange.MPEG):
            raise Unfit("its pictures are not tagged as BT.709, limited range")
        psnr = _psnr(before.y, pixels(after.planes[0]))
        if psnr < LEAST_PSNR:
            raise Unfit(f"frame {before.index} has {psnr:.1f} dB of {LEAST_PSNR:g}")


def _psnr(one: Pixels, other: Pixels) -> float:
    error = np.square(one.astype(np.float32) - other).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def _wobbling() -> Iterator[Frame]:
    """A chequered cloth in the wind: edges, flat parts, and motion in all directions."""
    cells = np.random.default_rng(0).integers(16, 235, (SMALLEST // 16, SMALLEST // 16), np.uint8)
    cloth, (down, across) = cells.repeat(16, 0).repeat(16, 1), np.mgrid[0:SMALLEST, 0:SMALLEST]
    grey = np.full((SMALLEST // 2, SMALLEST // 2), 128, np.uint8)
    for index in range(FRAMES):
        x = (across + 6 * np.sin(down / 20 + index / 3)).astype(int).clip(0, SMALLEST - 1)
        y = (down + 6 * np.cos(across / 25 + index / 4)).astype(int).clip(0, SMALLEST - 1)
        yield Frame(index, index, cloth[y, x], grey, grey)


def _silence() -> Audio:
    seconds = Fraction(FRAMES, FPS)
    track = AacTrack(48_000, 1, 0, False, array("I"), b"").fitted(seconds)
    return Audio(np.zeros(0, np.float32), seconds, track, MediaFacts(container="none"))


def _proof(encoder: Encoder) -> Proof:
    """The fault in libav's own words, where it has any."""
    set_level(ERROR)
    with Capture() as said:
        try:
            return Proof(sha256=proved(encoder))
        except (Unfit, DublineError, av.error.FFmpegError, ValueError) as error:  # ValueError: no such codec
            words = dict.fromkeys(message.strip() for _, _, message in said)
            return Proof(fault="; ".join(words) or str(error))


if __name__ == "__main__":
    sys.stdout.write(_proof(Encoder(**json.loads(sys.argv[1]))).model_dump_json() + "\n")
