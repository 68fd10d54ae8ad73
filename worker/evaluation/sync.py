"""The sync check: does the mouth of the finished video move with its audio? A smoke alarm, not LSE.

Lip aperture, measured again on the finished video, is correlated with the audio's log loudness. Orientation from
real material: recorded speech 0.34, finished MuseTalk videos 0.2 to 0.6, shifted audio -0.1 to 0.1 from 15 s on.
"""

import numpy as np
from numpy.typing import NDArray

from contract.manifest import Curves, SyncCheck
from worker.media.clock import FPS, SAMPLE_RATE

Curve = NDArray[np.float32]
"""(frames,) float32, one value a frame of the finished video."""
Spectrum = NDArray[np.complex128]
Correlations = NDArray[np.float64]
"""(frames,): Pearson's r with the loudness moved later, around the end, by 0, 1, 2, ... frames."""

LOUDNESS_RANGE_DB = 40.0
"""Below the loudest frame. What is quieter counts as this quiet: else the depth of the pauses decides."""
SILENCE_DB = -100.0
"""What digital silence counts as; a full-scale square wave is 0."""
FARTHEST_LAG = 5
"""Frames, 200 ms."""
SHIFTS = 200
NEAREST_SHIFT = FPS
"""Frames: a second, by which speech has mostly forgotten itself. A quarter of the video where that is shorter."""
FEWEST_FRAMES = 2 * FPS
"""With a face. Under two seconds anything correlates."""
FLAT = 1e-6
"""Standard deviation at and under which a curve is constant."""


def loudness(samples: Curve, frames: int) -> Curve:
    """The audio's loudness at each frame, (frames,) float32 in dB, at most LOUDNESS_RANGE_DB below its peak.

    The window is 80 ms, two frames, centred on the frame's middle. `samples` is mono (T,) float32 at SAMPLE_RATE;
    before its start and beyond its end is silence.
    """
    half = SAMPLE_RATE // FPS // 2
    energy = np.zeros(2 * frames + 2)  # of half frames, a silent one at either end
    whole = min(len(samples) // half, 2 * frames)
    blocks = samples[: whole * half].reshape(whole, half)
    energy[1 : whole + 1] = np.einsum("ij,ij->i", blocks, blocks)
    if whole < 2 * frames:
        energy[whole + 1] = np.square(samples[whole * half :]).sum()
    pairs = energy[:-1] + energy[1:]
    power = (pairs[:-2:2] + pairs[2::2]) / (4 * half)
    decibels = 10 * np.log10(np.maximum(power, 10 ** (SILENCE_DB / 10)))
    floor = decibels.max(initial=SILENCE_DB) - LOUDNESS_RANGE_DB
    return np.asarray(np.maximum(decibels, floor), dtype=np.float32)


def check(aperture: Curve, loudness: Curve, farthest: int = FARTHEST_LAG) -> SyncCheck:
    """How well the lips follow the audio, or why that cannot be said.

    `aperture` is NaN where a frame shows no face; such frames take no part. The best correlation of the audio in
    its place, or moved by `farthest` frames at most, is set against the same figure for up to SHIFTS evenly spaced
    circular shifts of it. The clip is taken as a ring throughout, so that all of them are the same statistic.

    Raises:
        ValueError: the curves differ in length.
    """
    if len(aperture) != len(loudness):
        raise ValueError(
            f"aperture has {len(aperture)} frames and loudness {len(loudness)}: measure both alike"
        )
    seen = np.isfinite(aperture)
    frames = int(seen.sum())
    reason = _why_not(aperture[seen], loudness)
    if reason:
        return SyncCheck(status="unavailable", reason=reason, frames=frames)
    correlations = _correlations(aperture, loudness, seen)
    best, lag = _best_near(correlations, 0, farthest)
    shifts = _shifts(len(loudness), max(NEAREST_SHIFT, 2 * farthest))
    control = np.array([_best_near(correlations, shift, farthest)[0] for shift in shifts])
    spread = float(control.std())
    return SyncCheck(
        status="ok",
        frames=frames,
        correlation=round(best, 4),
        lag_frames=lag,
        shifted_correlation=round(float(control.mean()), 4),
        z_score=round((best - float(control.mean())) / spread, 2) if spread > FLAT else None,
    )


def curves(aperture: Curve, loudness: Curve) -> Curves:
    """Both curves as they are kept beside the video, null where no face was seen."""
    return Curves(
        fps=FPS,
        aperture=tuple(round(float(each), 4) if np.isfinite(each) else None for each in aperture),
        loudness=tuple(round(float(each), 1) for each in loudness),
    )


def _why_not(aperture: Curve, loudness: Curve) -> str | None:
    if len(aperture) < FEWEST_FRAMES:
        return f"{len(aperture)} frames show a face; the check needs {FEWEST_FRAMES}"
    if aperture.std(dtype=np.float64) <= FLAT:
        return "the lips do not move"
    if loudness.std(dtype=np.float64) <= FLAT:
        return "the audio's loudness does not change"
    return None


def _correlations(aperture: Curve, loudness: Curve, seen: NDArray[np.bool_]) -> Correlations:
    """Pearson's r over the seen frames at every circular shift of the loudness; 0 where it is constant there.

    Each sum over frames is a circular cross-correlation, so three products of spectra give all shifts at once.
    """
    frames = int(seen.sum())
    lips = np.where(seen, aperture - aperture[seen].mean(dtype=np.float64), 0.0)
    sound = loudness - loudness.mean(dtype=np.float64)
    lips_spectrum, mask_spectrum = np.fft.rfft(lips), np.fft.rfft(seen.astype(np.float64))
    sound_spectrum = np.fft.rfft(sound)
    covariance = _summed(lips_spectrum, sound_spectrum, len(lips)) / frames
    mean = _summed(mask_spectrum, sound_spectrum, len(lips)) / frames
    mean_square = _summed(mask_spectrum, np.fft.rfft(sound**2), len(lips)) / frames
    deviation = np.sqrt(np.maximum(mean_square - mean**2, 0.0))
    lips_deviation = np.sqrt(np.square(lips).sum() / frames)
    constant = deviation <= FLAT * max(1.0, float(sound.std()))
    return np.where(constant, 0.0, covariance / np.where(constant, 1.0, deviation * lips_deviation))


def _summed(weights: Spectrum, sound: Spectrum, frames: int) -> Correlations:
    """Sum over t of weights[t] * sound[t - k], for every shift k."""
    return np.fft.irfft(weights * sound.conj(), n=frames)


def _best_near(correlations: Correlations, shift: int, farthest: int) -> tuple[float, int]:
    """The best correlation within `farthest` of a shift and its lag from there; the smallest lag of equals."""
    lags = np.array(sorted(range(-farthest, farthest + 1), key=abs))
    near = correlations[(shift + lags) % len(correlations)]
    return float(near.max()), int(lags[near.argmax()])


def _shifts(frames: int, nearest: int) -> NDArray[np.int64]:
    """Up to SHIFTS evenly spaced shifts, none of them near 0 on the ring."""
    nearest = min(nearest, frames // 4)
    return np.unique(np.linspace(nearest, frames - nearest, SHIFTS).round().astype(np.int64))
