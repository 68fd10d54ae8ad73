"""Mel-frequency cepstra as SyncNet hears them: 13 numbers, 100 times a second.

The numbers are those of python_speech_features 0.6, `mfcc(audio, 16000)` with its defaults (base.py and sigproc.py):
frames of 25 ms without a window function, a spectrum of 512 points, 26 triangles on the mel scale, an orthonormal
DCT-II, a lifter of 22, and the log of the frame's energy in place of the first cepstrum.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from worker.media.clock import SAMPLE_RATE

Floats = NDArray[np.float64]

CEPSTRA = 13
HOP = SAMPLE_RATE // 100
"""Samples from one frame to the next: 10 ms."""
LENGTH = SAMPLE_RATE // 40
"""Samples in a frame: 25 ms."""
_SPECTRUM, _TRIANGLES, _LIFTER, _EMPHASIS = 512, 26, 22, 0.97
_TINY = float(np.finfo(np.float64).eps)
"""What stands for no energy at all, so that its logarithm exists."""
_BLOCK = 6000
"""Frames that are in memory at once: a minute."""


def mfcc(samples: NDArray[np.int16]) -> Floats:
    """(T, 13) float64, T = 1 + ceil((samples - 400) / 160) and at least 1: the last frame is filled with zeros.

    `samples` is mono (n,) int16 at 16 kHz. The integers' scale is part of it: the first number is the log of an energy.

    Raises:
        ValueError: there are no samples.
    """
    if not len(samples):
        raise ValueError("no samples to hear")
    count = 1 + max(0, -((LENGTH - len(samples)) // HOP))
    return np.concatenate([_cepstra(block) for block in _blocks(samples, count)])


def _blocks(samples: NDArray[np.int16], count: int) -> Iterator[Floats]:
    """All frames with their high tones emphasised, (up to _BLOCK, 400)."""
    for first in range(0, count, _BLOCK):
        frames = min(_BLOCK, count - first)
        start, length = first * HOP, (frames - 1) * HOP + LENGTH
        heard = samples[start : start + length].astype(np.float64)
        before = samples[start - 1] if start else 0
        emphasised = heard - _EMPHASIS * np.concatenate([[before], heard[:-1]])
        padded = np.pad(emphasised, (0, length - len(heard)))
        yield sliding_window_view(padded, LENGTH)[::HOP]


def _cepstra(frames: Floats) -> Floats:
    power = np.square(np.abs(np.fft.rfft(frames, _SPECTRUM))) / _SPECTRUM
    tones = np.log(_present(power @ _triangles().T)) @ _cosines().T
    tones *= 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(CEPSTRA) / _LIFTER)
    tones[:, 0] = np.log(_present(power.sum(axis=1)))
    return np.asarray(tones)


def _present(energy: Floats) -> Floats:
    return np.where(energy == 0, _TINY, energy)


@cache
def _triangles() -> Floats:
    """(26, 257): each rises from one bin to the next edge and falls to the one after; edges are whole bins."""
    highest = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, highest, _TRIANGLES + 2) / 2595) - 1)
    edges = np.floor((_SPECTRUM + 1) * hertz / SAMPLE_RATE)[:, None]
    low, top, high = edges[:-2], edges[1:-1], edges[2:]
    bins = np.arange(_SPECTRUM // 2 + 1)
    rising = np.where((low <= bins) & (bins < top), (bins - low) / (top - low), 0.0)
    return np.where((top <= bins) & (bins < high), (high - bins) / (high - top), rising)


@cache
def _cosines() -> Floats:
    """(13, 26): the first rows of the orthonormal DCT-II."""
    rows, columns = np.arange(CEPSTRA)[:, None], np.arange(_TRIANGLES)
    waves = np.sqrt(2 / _TRIANGLES) * np.cos(np.pi * rows * (2 * columns + 1) / (2 * _TRIANGLES))
    waves[0] /= np.sqrt(2)
    return np.asarray(waves)
