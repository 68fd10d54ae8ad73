"""What a figure is worth: intervals by resampling, paired comparisons, and Holm's correction for many of them.

Frames of one clip are not independent, so what is resampled within a clip is blocks of frames (H. R. Kuensch, "The
Jackknife and the Bootstrap for General Stationary Observations", 1989), and such an interval speaks of this clip only.
Over clips the clips themselves are resampled.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.evaluation.metrics.base import Samples

DRAWS = 2000
BLOCK = 25
"""Frames in a block at least: a second, by which speech has mostly forgotten itself."""
SEED = 20260329
FEWEST_BLOCKS = 4
"""Fewer blocks than this have no spread that could be believed."""
FEWEST_CLIPS = 6
"""With fewer pairs no two-sided rank test can reach 5 %: 2 / 2**5 is 0.0625."""
LEVEL = 0.95

Interval = tuple[float, float]


def interval_within(samples: Samples, statistic: Callable[[Samples], float]) -> Interval | None:
    """The 95 % interval of a statistic of one clip's rows by block bootstrap; None where too few rows were measured."""
    if _measured(samples).sum() < FEWEST_BLOCKS * BLOCK:
        return None
    return _interval([_of(samples[rows], statistic) for rows in _blocks(len(samples))])


@dataclass(frozen=True)
class Difference:
    """How two videos, or two sets of videos, differ: second less first."""

    value: float
    interval: Interval | None
    """95 %; None where there is too little to say."""
    p: float | None
    """Two-sided."""
    n: int
    """Clips, or frames of the one clip."""
    is_within: bool
    """Whether it speaks of one clip only."""


def difference_within(one: Samples, other: Samples, statistic: Callable[[Samples], float]) -> Difference:
    """Of one clip: both statistics of the same resampled blocks, DRAWS times. The two have a row for each frame.

    Only rows that were measured of both count: a video that lost its face in the hard frames gains nothing by it.
    """
    one, other = _both(one, other)
    value, n = _of(other, statistic) - _of(one, statistic), int(_measured(one).sum())
    if n < FEWEST_BLOCKS * BLOCK:
        return Difference(value, None, None, n, True)
    drawn = np.array([_of(other[rows], statistic) - _of(one[rows], statistic) for rows in _blocks(len(one))])
    return Difference(value, _interval(drawn), _p_of(drawn), n, True)


def difference_over(differences: Sequence[float]) -> Difference:
    """Over clips: the mean difference, its interval by resampling clips, and Wilcoxon's signed-rank test."""
    from scipy.stats import wilcoxon  # heavy

    values = np.array(differences, np.float64)
    value, n = float(values.mean()), len(values)
    if n < FEWEST_CLIPS:
        return Difference(value, None, None, n, False)
    draws = np.random.default_rng(SEED).integers(0, n, (DRAWS, n))
    p = float(wilcoxon(values).pvalue) if values.any() else 1.0
    return Difference(value, _interval(values[draws].mean(axis=1)), p, n, False)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Each p corrected for there being many (S. Holm, 1979): never smaller than it was, at most 1."""
    corrected: dict[str, float] = {}
    least = 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        least = max(least, min(1.0, p * (len(p_values) - rank)))
        corrected[name] = least
    return corrected


def _measured(samples: Samples) -> NDArray[np.bool_]:
    """(n,): the rows that have a value."""
    return np.asarray(np.isfinite(samples).all(axis=1))


def _both(one: Samples, other: Samples) -> tuple[Samples, Samples]:
    """The rows that there are of both; NaN in both where one was not measured."""
    n = min(len(one), len(other))
    there = (_measured(one[:n]) & _measured(other[:n]))[:, None]
    return np.where(there, one[:n], np.nan), np.where(there, other[:n], np.nan)


def _of(samples: Samples, statistic: Callable[[Samples], float]) -> float:
    """The statistic; NaN where no row was measured."""
    return statistic(samples) if _measured(samples).any() else float("nan")


def _blocks(n: int) -> Iterator[NDArray[np.int64]]:
    """Row numbers of resampled clips: whole blocks of BLOCK rows from anywhere, as many rows as there are."""
    random = np.random.default_rng(SEED)
    count = -(-n // BLOCK)
    for _ in range(DRAWS):
        begins = random.integers(0, n - BLOCK + 1, count)
        yield (begins[:, None] + np.arange(BLOCK)).reshape(-1)[:n]


def _interval(drawn: Sequence[float] | NDArray[np.float64]) -> Interval:
    low, high = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _p_of(drawn: NDArray[np.float64]) -> float:
    """Two-sided, from how many resampled differences lie on either side of 0; 1 where nothing differs.

    One that could not be measured counts for both sides.
    """
    below, above = int((~(drawn > 0)).sum()), int((~(drawn < 0)).sum())
    return min(1.0, 2 * (min(below, above) + 1) / (len(drawn) + 1))
