"""The encoders of pictures: x264 on every machine, NVENC where it has proved to work (chosen.py)."""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2

KEY_FRAMES = 250
"""Most frames from one key frame to the next, x264's own default: how far a player must look back."""
SMALLEST, LARGEST = 256, 4096
"""Sides of a picture in pixels that every NVENC takes for H.264; its own least is some 145 x 49."""
_AVX_512F = 13
"""CV_CPU_AVX_512F of opencv2/core/cvdef.h, for which Python's cv2 has no name."""
_UP_TO_AVX2 = "MMX2,SSE2Fast,SSSE3,SSE4.2,AVX,FMA3,BMI2,AVX2"


@dataclass(frozen=True)
class Encoder:
    """One of libav's H.264 encoders and what is asked of it: always constant quality, whatever that costs in bytes."""

    name: str
    codec: str
    """libav's name."""
    options: Mapping[str, str]
    proof: str = ""
    """SHA-256 of what it made when it was proved: another card or driver makes other bytes."""

    def suited(self, width: int, height: int) -> "Encoder":
        """Itself where it takes pictures of that size, else x264, which takes all."""
        takes = min(width, height) >= SMALLEST and max(width, height) <= LARGEST
        return self if takes else x264()

    @property
    def identity(self) -> str:
        """The same for two encoders that make the same bytes of the same pictures, with the same libav."""
        return f"{self.name} {self.proof}".strip()


def x264() -> Encoder:
    """veryfast, crf 18."""
    return Encoder("x264", "libx264", {"preset": "veryfast", "crf": "18", **_same_everywhere()})


def nvenc() -> Encoder:
    """What is nearest to x264's: constant quality, bits moved to flat parts, a look ahead, two B-frames.

    The distance of B-frames is fixed, so that the times of one segment's packets join the next one's.
    """
    options = {
        "preset": "p5",
        "tune": "hq",
        "profile": "high",
        "rc": "vbr",  # with cq and no bit rate: constant quality
        "cq": "19",
        "b": "0",
        "spatial-aq": "1",
        "rc-lookahead": "10",
        "bf": "2",
        "g": str(KEY_FRAMES),
    }
    return Encoder("nvenc", "h264_nvenc", options)


def _same_everywhere() -> dict[str, str]:
    """x264's options without its AVX-512 code, whose macroblock tree depends on memory that nobody wrote.

    The same frames give other bytes each time with it, and with SSE, AVX or AVX2 always the same ones.
    """
    return {"x264-params": f"asm={_UP_TO_AVX2}"} if cv2.checkHardwareSupport(_AVX_512F) else {}
