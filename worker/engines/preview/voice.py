"""What the mouth should do at each output frame, heard from the audio alone.

The whole clip is known, so levels are measured against the clip's own speech (a whisper and a shout both fill
the mouth), and lips set off before the sound, as they do in life, so that they lag it by nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.engines.preview.smoothstep import smoothstep
from worker.media.clock import FPS, SAMPLE_RATE

Curve = NDArray[np.float64]

_HOP = SAMPLE_RATE // 100  # 10 ms
_HOPS_PER_FRAME = SAMPLE_RATE // FPS // _HOP
_WINDOW = 2 * _HOP  # 20 ms: short enough to see the gap of a plosive
_FFT = 512
_BLOCK_HOPS = 6_000  # a minute at a time: an hour's spectrum would take gigabytes

_BANDS_HZ = {
    "voice": (150, 4000),
    "first_formant": (500, 1100),  # strong in open vowels: a, o
    "close": (180, 450),  # strong in close vowels and hums: i, u, m
    "back": (500, 1200),  # second formant of rounded vowels: u, o
    "front": (1700, 3200),  # second formant of spread vowels: i, e
    "hiss": (4500, 7900),  # s, sh, f: loud, yet the jaw is nearly shut
}

_SILENCE_DB = -65.0  # below this a clip's speech level is no speech, whatever the rest of it does
_SPEECH_RANGE_DB = 30.0  # from a clip's loud vowels down to shut lips
_LEAST_RANGE_DB = 12.0  # of a clip without pauses
_FLOOR_MARGIN_DB = 6.0  # background noise moves this far about its level

# 10 to 90 % in 60 ms up and 120 ms down: the time constants of an exponential are 2.2 times shorter.
_ATTACK_HOPS, _RELEASE_HOPS = 6 / 2.2, 12 / 2.2
_LAG_HOPS = round((_ATTACK_HOPS + _RELEASE_HOPS) / 2)  # of such a follower, taken back
_SPREAD_HOPS = 8.0  # lips spread and round more slowly than they open
_SYLLABLE_HOPS = 12.0  # half a syllable, at four to five a second
_SYLLABLE_CONTRAST = 0.45
_GAP_HOPS = 2.0  # lips shut and part again within a plosive
_INERTIA_HOPS = 2.0  # and have mass: they cross half their range in a frame at most


@dataclass(frozen=True)
class Viseme:
    """A mouth's shape, each 0 to 1: shut to wide open, at rest to spread, at rest to rounded."""

    openness: float
    width: float
    rounding: float


def visemes(samples: NDArray[np.float32], frames: int) -> list[Viseme]:
    """The mouth's shape at the middle of each of `frames` output frames.

    Args:
        samples: mono, 16 kHz, -1..1; beyond its end is silence.
        frames: how many, at 25 fps.
    """
    if frames == 0:
        return []
    bands = _band_levels(samples, frames * _HOPS_PER_FRAME)
    presence = _presence(bands["voice"])
    openness = _syllables(_follow(presence * _jaw(bands)))
    openness = _smooth(_shut_between_sounds(openness, presence), _INERTIA_HOPS)
    spread = _smooth(presence * _spread(bands, presence), _SPREAD_HOPS)
    shapes = zip(_per_frame(openness), _per_frame(spread), strict=True)
    return [Viseme(float(o), float(max(s, 0.0)), float(max(-s, 0.0))) for o, s in shapes]


def _band_levels(samples: NDArray[np.float32], hops: int) -> dict[str, Curve]:
    """Level of each band in dB relative to full scale, one value per 10 ms hop, centred on the hop."""
    hertz = np.fft.rfftfreq(_FFT, 1 / SAMPLE_RATE)
    select = np.array([(low <= hertz) & (hertz < high) for low, high in _BANDS_HZ.values()], dtype=np.float64)
    power = np.concatenate([spectra @ select.T for spectra in _spectra(samples, hops)])
    return dict(zip(_BANDS_HZ, 10 * np.log10(power.T + 1e-12), strict=True))


def _spectra(samples: NDArray[np.float32], hops: int) -> Iterator[Curve]:
    """Power spectra, (hops, bins), a block of hops at a time; their sum is the mean square."""
    window = np.hanning(_WINDOW)
    scale = 2 / (_FFT * (window**2).sum())
    before = (_WINDOW - _HOP) // 2
    for first in range(0, hops, _BLOCK_HOPS):
        count = min(_BLOCK_HOPS, hops - first)
        start, stop = first * _HOP - before, (first + count - 1) * _HOP - before + _WINDOW
        piece = np.zeros(stop - start)
        heard = samples[max(start, 0) : max(stop, 0)]
        offset = max(-start, 0)
        piece[offset : offset + len(heard)] = heard
        windows = np.lib.stride_tricks.sliding_window_view(piece, _WINDOW)[::_HOP]
        yield np.abs(np.fft.rfft(windows * window, _FFT)) ** 2 * scale


def _presence(level_db: Curve) -> Curve:
    """0 (the pause) to 1 (the loud vowels), measured against the clip's own speech and noise."""
    loudest = np.percentile(level_db, 99)
    top = np.percentile(level_db[level_db >= loudest - _SPEECH_RANGE_DB], 80)
    if top < _SILENCE_DB:
        return np.zeros_like(level_db)
    noise = np.percentile(level_db, 10) + _FLOOR_MARGIN_DB
    floor = max(top - _SPEECH_RANGE_DB, min(noise, top - _LEAST_RANGE_DB))
    return np.clip((level_db - floor) / (top - floor), 0.0, 1.0)


def _jaw(bands: dict[str, Curve]) -> Curve:
    """How far the jaw drops for a sound of full level: least for s and sh, little for i and u, most for a."""
    openness_of_vowel = smoothstep(bands["first_formant"] - bands["close"], -10.0, 6.0)
    hiss = smoothstep(bands["hiss"] - bands["voice"], -6.0, 6.0)
    return (0.6 + 0.4 * openness_of_vowel) * (1.0 - 0.6 * hiss)


def _spread(bands: dict[str, Curve], presence: Curve) -> Curve:
    """-1 (rounded) to 1 (spread), from the second formant's place against the clip's own average."""
    brightness = bands["front"] - bands["back"]
    weight = presence.sum()
    if weight <= 0:
        return np.zeros_like(presence)
    mean = (brightness * presence).sum() / weight
    return np.asarray(np.tanh((brightness - mean) / 9.0))


def _follow(curve: Curve) -> Curve:
    """The curve as lips can follow it: fast up, slower down, and on time."""
    value, followed = 0.0, []
    for target in [*curve.tolist(), *[0.0] * _LAG_HOPS]:
        value += (target - value) / (1.0 + (_ATTACK_HOPS if target > value else _RELEASE_HOPS))
        followed.append(value)
    return np.array(followed[_LAG_HOPS:])


def _syllables(openness: Curve) -> Curve:
    """Running speech hovers about half open; a jaw moves more from syllable to syllable than loudness does."""
    contrast = openness - _smooth(openness, _SYLLABLE_HOPS)
    return np.clip(openness + _SYLLABLE_CONTRAST * contrast, 0.0, 1.0)


def _shut_between_sounds(openness: Curve, presence: Curve) -> Curve:
    """Following fills the gap before a plosive and drags after a pause's begin: shut the lips there again."""
    gap = _smooth(1.0 - smoothstep(presence, 0.0, 0.3), _GAP_HOPS)
    return openness * (1.0 - gap)


def _smooth(curve: Curve, hops: float) -> Curve:
    """An average that falls off to both sides by 1/e in that many hops."""
    reach = np.arange(-round(5 * hops), round(5 * hops) + 1)
    kernel = np.exp(-np.abs(reach) / hops)
    return np.convolve(np.pad(curve, reach[-1], mode="edge"), kernel / kernel.sum(), mode="valid")


def _per_frame(curve: Curve) -> Curve:
    return np.asarray(curve.reshape(-1, _HOPS_PER_FRAME).mean(axis=1))
