"""HDR and wide-gamut colour into BT.709 for an SDR display, as a table of colours."""

from enum import Enum

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorTrc
from numpy.typing import NDArray

HALD_LEVEL = 6
"""A Hald table of level 6 has 36 steps an axis and is a picture of 216x216."""
WHITE_NITS = 203.0
"""HDR reference white (ITU-R BT.2408, 3.1), which becomes SDR white."""
_PEAK = 1000.0 / WHITE_NITS
_KNEE = 0.8
_SDR_GAMMA = 2.4  # ITU-R BT.1886

# Linear light of BT.2020 to BT.709 primaries (ITU-R BT.2087, Annex 2).
_BT709_FROM_BT2020 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
)
_BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593])

Colours = NDArray[np.float64]
"""(..., 3), RGB."""


class Light(Enum):
    """How a signal of BT.2020 primaries becomes light."""

    PQ = "SMPTE ST 2084"
    HLG = "ARIB STD-B67"
    SDR = "BT.2020 with the gamma of BT.1886"

    @classmethod
    def of(cls, frame: VideoFrame) -> "Light | None":
        """None for BT.709-like frames, which need no table."""
        if frame.color_trc == ColorTrc.SMPTE2084:
            return cls.PQ
        if frame.color_trc == ColorTrc.ARIB_STD_B67:
            return cls.HLG
        return cls.SDR if frame.color_primaries == ColorPrimaries.BT2020 else None


def hald(light: Light) -> NDArray[np.uint16]:
    """The table as a Hald picture, (216, 216, 3) uint16 RGB: red runs fastest, then green, then blue."""
    steps = HALD_LEVEL**2
    axis = np.linspace(0, 1, steps)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
    signal = to_sdr(np.stack([red, green, blue], axis=-1), light)
    return np.rint(signal * 65535).astype(np.uint16).reshape(HALD_LEVEL**3, HALD_LEVEL**3, 3)


def to_sdr(signal: Colours, light: Light) -> Colours:
    """BT.709 signal 0..1 for a BT.1886 display from a BT.2020 signal 0..1."""
    linear = np.maximum(_LINEAR[light](signal) @ _BT709_FROM_BT2020.T, 0)
    return np.asarray(np.clip(_rolled_off(linear), 0, 1) ** (1 / _SDR_GAMMA))


def _rolled_off(linear: Colours) -> Colours:
    """Highlights up to the peak brought under 1; the largest channel decides, so hues stay.

    Straight up to the knee, above it Reinhard's extended curve, with the same slope where they meet.
    """
    largest = linear.max(axis=-1, keepdims=True)
    excess = np.maximum(largest - _KNEE, 0) / (1 - _KNEE)
    top = (_PEAK - _KNEE) / (1 - _KNEE)
    curve = _KNEE + (1 - _KNEE) * excess * (1 + excess / top**2) / (1 + excess)
    gain = np.where(largest > _KNEE, curve / np.maximum(largest, _KNEE), 1.0)
    return np.asarray(linear * gain)


def _pq(signal: Colours) -> Colours:
    """Light relative to reference white (SMPTE ST 2084, 5.1)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = signal ** (1 / m2)
    return np.asarray(10_000 / WHITE_NITS * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1))


def _hlg(signal: Colours) -> Colours:
    """Light of a 1000 nit display relative to reference white (ITU-R BT.2100, table 5; system gamma 1.2)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luminance = (scene @ _BT2020_LUMA)[..., None]
    return np.asarray(_PEAK * luminance**0.2 * scene)


def _gamma(signal: Colours) -> Colours:
    return np.asarray(signal**_SDR_GAMMA)


_LINEAR = {Light.PQ: _pq, Light.HLG: _hlg, Light.SDR: _gamma}
