"""LSE-D, LSE-C and the AV offset, from what SyncNet sees and hears.

The formula of joonson/syncnet_python@6efbb1c, SyncNetInstance.py (calc_pdist and evaluate) with the 15 shifts of
run_syncnet.py. An offset is in frames of 40 ms, and positive where the audio is early: then the frame at t shows what
was heard at t - offset.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.networks.syncnet import Features

FARTHEST = 15
"""Frames of 40 ms that the audio is shifted by, either way."""
OFFSETS = tuple(range(-FARTHEST, FARTHEST + 1))
_BESIDE = 1e-6
"""What torch's pairwise_distance adds to each difference."""
_ROWS = 1000
"""Windows that are compared at once."""

Distances = NDArray[np.float64]
"""(n, 31) float64: of each window's lips from the voice at each of OFFSETS; outside the clip the voice is all zeros."""


def distances(lips: Features, voices: Features) -> Distances:
    """Of n windows of either, (n, 1024) both.

    Raises:
        ValueError: they differ in number.
    """
    if len(lips) != len(voices):
        raise ValueError(f"{len(lips)} windows of lips and {len(voices)} of voice: take the same of both")
    padded = np.pad(voices, ((FARTHEST, FARTHEST), (0, 0)))
    blocks = [
        _compared(lips[start : start + _ROWS], padded[start : start + _ROWS + 2 * FARTHEST])
        for start in range(0, len(lips), _ROWS)
    ]
    return np.concatenate(blocks)


def curve(distances: Distances) -> Distances:
    """The mean distance at each of OFFSETS, (31,)."""
    return np.asarray(np.nanmean(distances, axis=0))


def distance(distances: Distances) -> float:
    """LSE-D: the least mean distance."""
    return float(curve(distances).min())


def confidence(distances: Distances) -> float:
    """LSE-C: how far the least mean distance lies below the median one."""
    means = curve(distances)
    return float(np.median(means) - means.min())


def offset(distances: Distances) -> float:
    """The AV offset: where the mean distance is least."""
    return float(OFFSETS[int(curve(distances).argmin())])


def masked(distances: Distances) -> Mapping[str, Any]:
    """The same three of pairs alone of which both are there, by name; not comparable with published figures.

    The zeros that stand for the voice outside the clip lower LSE-C of short clips. Offsets that no pair is at take no
    part.
    """
    windows, offsets = np.arange(len(distances))[:, None], np.array(OFFSETS)
    is_there = (windows >= offsets) & (windows - offsets < len(distances))
    pairs = is_there.sum(axis=0)
    means = np.where(is_there, distances, 0).sum(axis=0)[pairs > 0] / pairs[pairs > 0]
    return {
        "lse_d_masked": float(means.min()),
        "lse_c_masked": float(np.median(means) - means.min()),
        "av_offset_masked": int(offsets[pairs > 0][means.argmin()]),
    }


def _compared(lips: Features, voices: Features) -> Distances:
    """(n, 31) of n windows and the n + 30 voices around them: window i and offset s meet at voices[i + 15 - s]."""
    columns = [voices[FARTHEST - each : FARTHEST - each + len(lips)] for each in OFFSETS]
    there = lips.astype(np.float64) + _BESIDE
    return np.stack([np.linalg.norm(there - each, axis=1) for each in columns], axis=1)
