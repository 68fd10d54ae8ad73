"""Whether the lips follow the audio, without a network that judges: aperture against loudness, over 31 shifts.

The manifest's check (evaluation/sync.py) with a wider search. A smoke alarm, not LSE: it finds sync where mouths open
with loudness, as drawn ones do, and says nothing of the sounds; real speech is often too subtle for it.
"""

from pathlib import Path

import numpy as np

from contract.manifest import SyncCheck
from worker.evaluation.metrics.base import Plain, Reading, Samples, Sound, View
from worker.evaluation.metrics.quantities import LIP_CORRELATION, LIP_LAG
from worker.evaluation.sync import Curve, check, loudness
from worker.media.clock import FPS

FARTHEST = 15
"""Frames, 0.6 s, as SyncNet searches."""
FOUND_Z = 3.5
"""From so many standard deviations above the same clip's shifted audio on, sync is found. Shuffled audio of the measured
clips stayed under 2.9, drawn mouths were above 4."""
UNSURE_FRAMES = 5 * FPS
"""With fewer, mouths that follow the audio to the letter may stay under FOUND_Z: nothing can be said of those."""

_NEAREST_FIRST = np.array(sorted(range(-FARTHEST, FARTHEST + 1), key=abs))


def correlation(pairs: Samples) -> float:
    """Pearson's r of (n, 2) over the rows that are there; 0 where one of them does not change."""
    there = pairs[np.isfinite(pairs).all(axis=1)]
    spread = there.std(axis=0)
    if len(there) < 2 or not spread.all():
        return 0.0
    return float(np.mean(np.prod(there - there.mean(axis=0), axis=1)) / np.prod(spread))


def best_lag(rows: Samples) -> float:
    """The shift at which column 0 follows the others best, of (n, 1 + 31); the smallest of equals."""
    there = rows[np.isfinite(rows[:, 0])]
    lips = there[:, 0] - there[:, 0].mean()
    sound = there[:, 1:] - there[:, 1:].mean(axis=0)
    spread = sound.std(axis=0)
    found = np.where(spread > 0, lips @ sound / np.where(spread > 0, spread, 1), 0)
    return float(_NEAREST_FIRST[found[_NEAREST_FIRST + FARTHEST].argmax()])


class LipsMeter:
    """Keeps one number of each frame: how far the lips are open."""

    def __init__(self) -> None:
        self._apertures: list[float] = []

    def see(self, view: View) -> None:
        """The next frame."""
        self._apertures.append(np.nan if view.face is None else view.face.aperture)

    @property
    def apertures(self) -> Curve:
        """(frames,) float32: gap over face height, NaN where no face was seen."""
        return np.array(self._apertures, np.float32)

    def readings(self, sound: Sound) -> dict[str, Reading]:
        """The best correlation within FARTHEST frames, and where it was."""
        lips = self.apertures[: sound.frames]
        loud = loudness(sound.samples, len(lips))
        found = check(lips, loud, FARTHEST)
        if found.correlation is None or found.lag_frames is None:
            none = Reading(None, found.frames, found.reason or "")
            return {LIP_CORRELATION.name: none, LIP_LAG.name: none}
        rows = np.stack([lips, *(np.roll(loud, shift) for shift in range(-FARTHEST, FARTHEST + 1))], axis=1)
        rows = rows.astype(np.float64)
        pairs = rows[:, [0, 1 + FARTHEST + found.lag_frames]]
        about = {
            "sync_found": _is_found(found),
            "z_score": found.z_score,
            "shifted": found.shifted_correlation,
            "shifts": list(range(-FARTHEST, FARTHEST + 1)),
            "curve": [round(correlation(rows[:, [0, column]]), 4) for column in range(1, rows.shape[1])],
        }
        return {
            LIP_CORRELATION.name: Reading(
                found.correlation, found.frames, samples=pairs, statistic=correlation, about=about
            ),
            LIP_LAG.name: Reading(
                float(found.lag_frames), found.frames, samples=rows, statistic=best_lag, about=about
            ),
        }


def _is_found(found: SyncCheck) -> bool | None:
    """Whether there is sync; None where the clip is too short to say that there is none."""
    if (found.z_score or 0.0) >= FOUND_Z:
        return True
    return False if found.frames >= UNSURE_FRAMES else None


def load(folder: Path, threads: int) -> Plain:
    """It needs no weights."""
    return Plain((LIP_CORRELATION, LIP_LAG), LipsMeter, hears=True)
