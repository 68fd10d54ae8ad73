"""Several systems' outputs for the same clips, set against each other: who is better, and whether that can be said.

1. Every clip is judged once, all its outputs over the same frames and boxes (evaluate.py).
2. Every pair of outputs is compared by every figure: over clips by the clips' differences, of one clip by resampled
   blocks of its frames.
3. Holm's correction over the figures of a pair; an output is better where that leaves p under 5 % and the interval lies
   beyond the noise. The winner is better than all others.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import numpy as np

from contract.errors import BadRequest
from contract.evaluation import INCONCLUSIVE, Compared, ComparedClip, Comparison, Evaluation, Versus
from contract.figures import Figures, Task
from contract.job import JobOptions
from worker.evaluation.evaluate import Evaluator, Judged, Show
from worker.evaluation.figures import evaluation_of, rounded
from worker.evaluation.metrics.base import Better, Quantity, Reading, Samples, goodness
from worker.evaluation.metrics.quantities import QUANTITIES, SYNC
from worker.evaluation.statistics import (
    FEWEST_CLIPS,
    Difference,
    Interval,
    difference_over,
    difference_within,
    holm,
)

SIGNIFICANT = 0.05
OFFSETS = tuple(offset for _, offset in SYNC)


@dataclass(frozen=True)
class Entry:
    """One clip to compare by: a source, its audio, and each system's output."""

    id: str
    source: Path
    audio: Path
    outputs: Mapping[str, Path]
    options: JobOptions


@dataclass(frozen=True)
class Seen:
    """One clip that was judged: figures for people, readings to compare."""

    id: str
    evaluations: Mapping[str, Figures]
    readings: Mapping[str, Mapping[str, Reading]]


def compare(entries: Sequence[Entry], baseline: str, evaluator: Evaluator, show: Show) -> Comparison:
    """Who is better by which figure, after judging every clip.

    Raises:
        InputRejected: a file cannot be read, or self audio and cross audio are mixed.
    """
    started = time.perf_counter()
    _same_task({entry.id: evaluator.task(entry.source, entry.audio, entry.options) for entry in entries})
    seen = [_seen(entry, evaluator, show) for entry in entries]
    return comparison_of(seen, baseline, time.perf_counter() - started)


def comparison_of(seen: Sequence[Seen], baseline: str, seconds: float) -> Comparison:
    """Who is better by which figure. All clips have the same outputs.

    Raises:
        BadRequest: self audio and cross audio are mixed.
    """
    outputs = tuple(seen[0].evaluations)
    task = _same_task({each.id: figures.task for each in seen for figures in each.evaluations.values()})
    pairs = [(other, one) if one == baseline else (one, other) for one, other in combinations(outputs, 2)]
    versus = [_pair(seen, pair) for pair in pairs]
    return Comparison(
        made=datetime.now(UTC),
        task=task,
        scope="within this clip" if len(seen) == 1 else "over clips",
        outputs=outputs,
        baseline=baseline,
        clips=tuple(ComparedClip(id=each.id, evaluations=dict(each.evaluations)) for each in seen),
        comparison={
            name: _compared(seen, quantity, outputs, baseline, [each[name] for each in versus])
            for name, quantity in QUANTITIES.items()
        },
        seconds=round(seconds, 2),
    )


def noise_of(quantity: Quantity, evaluations: Sequence[Figures]) -> float:
    """A gain below this means nothing: what encoding the source again makes of a perfect figure, or what is stated."""
    figures = [each.metrics[quantity.name] for each in evaluations if quantity.name in each.metrics]
    floors = [each.controls.get("floor") for each in figures]
    there = [floor for floor in floors if floor is not None]
    if quantity.perfect is None or not there:
        return quantity.smallest
    return max(quantity.smallest, abs(float(np.mean(there)) - quantity.perfect))


def _same_task(tasks: Mapping[str, Task]) -> Task:
    """The one task of all clips. Asked before anything is judged, which takes long."""
    if len(set(tasks.values())) > 1:
        named = "; ".join(f"{name}: {task}" for name, task in tasks.items())
        raise BadRequest(
            f"clips with their own audio and clips with another one cannot be compared together ({named}); "
            "compare them apart"
        )
    return next(iter(tasks.values()))


def _seen(entry: Entry, evaluator: Evaluator, show: Show) -> Seen:
    def named(doing: str, done: int, total: int) -> None:
        show(f"{entry.id}: {doing}", done, total)

    judging = evaluator.judge(entry.source, entry.audio, entry.outputs, entry.options, named)
    evaluations = {video.name: evaluation_of(judging, video) for video in judging.videos}
    return Seen(entry.id, evaluations, {video.name: _usable(video, evaluations) for video in judging.videos})


def _usable(video: Judged, evaluations: Mapping[str, Evaluation]) -> dict[str, Reading]:
    """The readings that are figures: not those of metrics that do not work on this clip."""
    metrics = evaluations[video.name].metrics
    return {name: reading for name, reading in video.readings.items() if metrics[name].status == "ok"}


def _pair(seen: Sequence[Seen], pair: tuple[str, str]) -> dict[str, Versus]:
    """One output against another by every figure, corrected for there being many."""
    found = {name: _versus(seen, quantity, pair) for name, quantity in QUANTITIES.items()}
    corrected = holm({name: each.p for name, each in found.items() if each.p is not None})
    return {
        name: _judged(
            each.model_copy(update={"p_holm": rounded(corrected.get(name))}), seen, QUANTITIES[name]
        )
        for name, each in found.items()
    }


def _versus(seen: Sequence[Seen], quantity: Quantity, pair: tuple[str, str]) -> Versus:
    """One figure of a pair, before anything is said of it."""
    output, baseline = pair
    both = [
        (each.readings[output][quantity.name], each.readings[baseline][quantity.name])
        for each in seen
        if all(_tells(each.readings[name], quantity) for name in pair)
    ]
    if not both:
        reason = "no sync was found in both" if quantity in OFFSETS else "not measured of both"
        return Versus(output=output, baseline=baseline, reason=reason, n=0)
    gain = _within(*both[0], quantity.better) if len(seen) == 1 else _over(both, quantity.better)
    values = [(_value(one), _value(other)) for one, other in both]
    difference = float(np.mean([one - other for one, other in values]))
    return Versus(
        output=output,
        baseline=baseline,
        difference=rounded(difference),
        gain=rounded(gain.value),
        gain_ci95=_finite(gain.interval),
        p=gain.p,
        improvement_pct=_improvement(
            gain.value, [other for _, other in values], quantity, _noise(seen, quantity)
        ),
        n=gain.n,
    )


def _tells(readings: Mapping[str, Reading], quantity: Quantity) -> bool:
    """Whether there is such a figure to compare: where no sync was found, an offset is the place of some noise."""
    reading = readings.get(quantity.name)
    return reading is not None and (quantity not in OFFSETS or bool(reading.about.get("sync_found")))


def _finite(interval: Interval | None) -> Interval | None:
    """None for what is no interval: there is nothing to conclude from it."""
    return interval if interval is not None and all(map(math.isfinite, interval)) else None


def _within(one: Reading, other: Reading, better: Better) -> Difference:
    """Of one clip. A figure that cannot be resampled has its difference and no more."""
    if one.samples is None or other.samples is None:
        return Difference(
            goodness(_value(one), better) - goodness(_value(other), better), None, None, one.n, True
        )

    def good(samples: Samples) -> float:
        return goodness(one.statistic(samples), better)

    return difference_within(other.samples, one.samples, good)


def _over(both: Sequence[tuple[Reading, Reading]], better: Better) -> Difference:
    return difference_over(
        [goodness(_value(one), better) - goodness(_value(other), better) for one, other in both]
    )


def _improvement(gain: float, baseline: Sequence[float], quantity: Quantity, noise: float) -> float | None:
    """In % of the baseline, of what it has to lose where it should be near something; None where that is noise."""
    if quantity.better == "nearer 0":
        return None
    mean = float(
        np.mean([abs(each - 1) if quantity.better == "nearer 1" else abs(each) for each in baseline])
    )
    return rounded(100 * gain / mean) if mean > 2 * noise else None


def _judged(versus: Versus, seen: Sequence[Seen], quantity: Quantity) -> Versus:
    """With a verdict, or with the reason why there is none."""
    noise = _noise(seen, quantity)
    reason = versus.reason or _why_not(versus, noise, len(seen))
    if reason:
        return versus.model_copy(update={"reason": reason})
    return versus.model_copy(update={"verdict": "better" if (versus.gain or 0) > 0 else "worse"})


def _why_not(versus: Versus, noise: float, clips: int) -> str:
    if versus.gain_ci95 is None or versus.p_holm is None:
        few = (
            f"{versus.n} clips, and {FEWEST_CLIPS} are needed" if clips > 1 else "no interval within one clip"
        )
        return few
    if versus.p_holm >= SIGNIFICANT:
        return f"p = {versus.p_holm:.2g} after Holm's correction"
    low, high = versus.gain_ci95
    if low <= noise and high >= -noise:
        return f"the interval reaches into the noise of {noise:.2g}"
    return ""


def _noise(seen: Sequence[Seen], quantity: Quantity) -> float:
    return noise_of(quantity, [next(iter(each.evaluations.values())) for each in seen])


def _compared(
    seen: Sequence[Seen], quantity: Quantity, outputs: Sequence[str], baseline: str, versus: Sequence[Versus]
) -> Compared:
    winner = next((name for name in outputs if _beats_all(name, versus)), INCONCLUSIVE)
    shown = winner if winner not in (INCONCLUSIVE, baseline) else next(n for n in outputs if n != baseline)
    over = next(each for each in versus if each.baseline == baseline and each.output == shown)
    is_told = winner != INCONCLUSIVE or len(outputs) == 2
    return Compared(
        title=quantity.title,
        unit=quantity.unit,
        better=quantity.better,
        values={name: _mean(_alike(seen, quantity, outputs), quantity, name) for name in outputs},
        noise=_noise(seen, quantity),
        winner=winner,
        improvement_pct=over.improvement_pct if is_told else None,
        versus=tuple(versus),
    )


def _beats_all(name: str, versus: Sequence[Versus]) -> bool:
    """Whether an output is better than every other one."""
    wins = [_wins(name, each) for each in versus if name in (each.output, each.baseline)]
    return all(wins)


def _wins(name: str, versus: Versus) -> bool:
    return versus.verdict == ("better" if versus.output == name else "worse")


def _alike(seen: Sequence[Seen], quantity: Quantity, outputs: Sequence[str]) -> Sequence[Seen]:
    """The clips that have the figure of all outputs: means of different clips cannot be compared. All where none has."""
    return [each for each in seen if all(quantity.name in each.readings[name] for name in outputs)] or seen


def _mean(seen: Sequence[Seen], quantity: Quantity, name: str) -> float | None:
    values = [
        each.readings[name][quantity.name].value for each in seen if quantity.name in each.readings[name]
    ]
    return rounded(float(np.mean([value for value in values if value is not None]))) if values else None


def _value(reading: Reading) -> float:
    assert reading.value is not None  # noqa: S101 - only readings with a value are compared
    return reading.value
