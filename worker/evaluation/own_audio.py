"""Whether the audio is the source's own: then the recorded mouth is what the new one should look like."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.errors import InputRejected
from contract.job import JobOptions
from worker.evaluation.metrics.base import Sound
from worker.media.audio import Audio, read_audio
from worker.media.clock import FPS, SAMPLE_RATE
from worker.media.limits import Limits

ALIKE = 0.6
"""Pearson's r of the samples from which on two recordings are the same one: AAC at 64 kbit/s leaves 0.98, two
different voices at their best shift have under 0.1."""
NEAREST_SAMPLES = SAMPLE_RATE // FPS
"""A frame: an audio that was moved by more is another audio, for its mouth is elsewhere."""
COMPARED_SECONDS = 60
ENDS_FRAMES = 5
"""So much longer than the source's own sound an audio may be: codecs pad the end."""


@dataclass(frozen=True)
class OwnAudio:
    """The sound that was recorded with the source's pictures; None where there is none."""

    sound: Sound | None
    is_given: bool
    """Whether the given audio is the same recording, in its place."""


def own_audio(
    source: Path,
    options: JobOptions,
    given: Audio,
    limits: Limits,
    touch: Callable[[], None] = lambda: None,
) -> OwnAudio:
    """The source's own sound of the part that is played, and whether the given one is that.

    A given audio that goes on after that part is another one: beside it the source plays backward, or again.
    """
    try:
        recorded = read_audio(source, limits, touch)
    except InputRejected:  # no sound, or too little; what is wrong with the pictures shows when they are read
        return OwnAudio(None, is_given=False)
    end = None if options.end is None else round(options.end * SAMPLE_RATE)
    samples = recorded.samples_16k[round(options.start * SAMPLE_RATE) : end]
    frames = int(Fraction(len(samples), SAMPLE_RATE) * FPS)
    is_long_enough = options.sync_mode == "cut" or given.frames - frames <= ENDS_FRAMES
    return OwnAudio(Sound(samples, frames), is_long_enough and is_same(samples, given.samples_16k))


def is_same(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether two sounds, (T,) float32 at 16 kHz, are one recording that begins within a frame in both."""
    n = min(len(one), len(other), COMPARED_SECONDS * SAMPLE_RATE)
    one, other = (each[:n].astype(np.float64) - each[:n].mean() for each in (one, other))
    energy = np.sqrt((one**2).sum() * (other**2).sum())
    if not energy:
        return False
    spectra = (np.fft.rfft(each, 2 * n) for each in (one, other))
    shifts = np.fft.irfft(next(spectra).conj() * next(spectra))  # the sum over t of one[t] * other[t + shift]
    near = np.concatenate([shifts[: NEAREST_SAMPLES + 1], shifts[-NEAREST_SAMPLES:]])
    return bool(near.max() >= ALIKE * energy)
