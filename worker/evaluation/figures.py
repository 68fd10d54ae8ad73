"""From what was seen of a video to its figures: values, intervals, controls, and the verdict on sync."""

import hashlib
import math
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from contract.evaluation import Evaluation, Traces
from contract.figures import BUDGET_FRAMES, Figure, Figures, Sync, Verdict
from contract.manifest import InputRecord, MediaFacts, WarningRecord
from worker import weights
from worker.evaluation.controls import audio_controls, fault
from worker.evaluation.evaluate import Judged, Judging
from worker.evaluation.metrics.base import Quantity, Reading, Samples, Sound, goodness
from worker.evaluation.metrics.lips import LipsMeter
from worker.evaluation.metrics.quantities import QUANTITIES, SYNC
from worker.evaluation.statistics import Interval, interval_within
from worker.evaluation.sync import Curve, curves, loudness
from worker.media.clock import FPS

Controls = Mapping[str, Mapping[str, Reading]]
"""Figures of each control, by the control's name."""
DIGITS = 5
"""Significant ones of every number that is written."""
PACKAGES = (
    "dubline",
    "numpy",
    "scipy",
    "scikit-image",
    "opencv-python-headless",
    "av",
    "ai-edge-litert",
    "torch",
    "onnxruntime",
)
TOO_SHORT = "the clip is too short to say that the lips do not follow the audio"
LENGTH_FORGIVEN = 1
"""Frames by which a video and its audio may differ in length."""


def figures_of(judging: Judging, video: Judged) -> Figures:
    """Every figure of one video with its interval and controls. Raises what the clip's `touch` raises."""
    controls = _controls(judging, video)
    figures = {name: _figure(judging, quantity, video, controls) for name, quantity in QUANTITIES.items()}
    return Figures(
        task=judging.task,
        frames=judging.frames,
        sync=_sync(figures),
        metrics=figures,
        versions=_versions(),
        seconds=round(judging.seconds, 2),
    )


def evaluation_of(judging: Judging, video: Judged) -> Evaluation:
    """The figures with the inputs' hashes, warnings, and what a report draws."""
    clip = judging.clip
    return Evaluation(
        **dict(figures_of(judging, video)),
        made=datetime.now(UTC),
        source=_record(clip.source, clip.facts_of(clip.source)),
        generated=_record(video.path, video.facts),
        audio=_record(clip.audio, clip.sound.facts),
        options=clip.options,
        warnings=_warnings(judging, video),
        traces=_traces(judging, video),
    )


def _controls(judging: Judging, video: Judged) -> Controls:
    """All controls of a video; none where none were wanted."""
    if judging.floor is None:
        return {}
    controls: dict[str, Mapping[str, Reading]] = {
        name: _heard(judging, video, sound) for name, sound in audio_controls(judging.sound)
    }
    deaf = {name for name in judging.floor.readings if name not in controls["shuffled"]}
    controls["floor"] = {name: judging.floor.readings[name] for name in deaf}
    controls["do_nothing"] = _heard(judging, judging.floor, judging.sound)
    own = judging.own.sound
    if own is not None:
        frames = min(own.frames, judging.frames)
        controls["real"] = _heard(judging, judging.floor, Sound(own.samples, frames))
    return controls


def _heard(judging: Judging, video: Judged, sound: Sound) -> Mapping[str, Reading]:
    judging.clip.touch()
    return video.judge.heard(sound)


def _figure(judging: Judging, quantity: Quantity, video: Judged, controls: Controls) -> Figure:
    missing = _missing(judging, quantity)
    reading = Reading(None, 0, missing) if missing else video.readings[quantity.name]
    if reading.value is not None and not math.isfinite(reading.value):
        reading = Reading(None, reading.n, "what was measured is no number", is_invalid=True)
    why = reading.reason or (fault(quantity.name, video.readings, controls) if controls else "")
    is_invalid = reading.is_invalid or (bool(why) and reading.value is not None)
    return Figure(
        title=quantity.title,
        value=None if is_invalid else rounded(reading.value),
        unit=quantity.unit,
        better=quantity.better,
        status="invalid" if is_invalid else "unavailable" if reading.value is None else "ok",
        reason=why,
        n=reading.n,
        ci95=None if is_invalid else _interval(reading, judging.clip.touch),
        deviation=rounded(reading.deviation),
        controls={
            name: rounded(shown(found[quantity.name]))
            for name, found in controls.items()
            if quantity.name in found
        }
        if reading.value is not None
        else {},
        weights={name: weights.weight(name).sha256 for name in judging.panel.weights(quantity.name)},
        hint=quantity.hint,
        about={**reading.about, **_moments(reading, quantity)},
    )


def _missing(judging: Judging, quantity: Quantity) -> str:
    """Why the figure cannot be had of any video of this clip."""
    if quantity.name in judging.panel.missing:
        return judging.panel.missing[quantity.name]
    if quantity.needs_self_audio and not judging.own.is_given:
        return "the audio is not the source's own: its recorded mouth says something else"
    return ""


def _moments(reading: Reading, quantity: Quantity) -> dict[str, list[int]]:
    """The frames where a figure is best and worst, a second apart at least."""
    if reading.samples is None or not reading.is_per_frame:
        return {}
    rows = [
        goodness(reading.statistic(row[None]), quantity.better) if np.isfinite(row).all() else np.nan
        for row in reading.samples
    ]
    order = [int(index) for index in np.argsort(rows) if np.isfinite(rows[index])]
    return {"worst_frames": _apart(order, 3), "best_frames": _apart(order[::-1], 1)}


def _apart(order: Sequence[int], most: int) -> list[int]:
    chosen: list[int] = []
    for index in order:
        if len(chosen) < most and all(abs(index - other) >= FPS for other in chosen):
            chosen.append(index)
    return chosen


def _interval(reading: Reading, touch: Callable[[], None]) -> Interval | None:
    """Of a long video it takes minutes: `touch` is called with every sample that is drawn."""
    if reading.samples is None or reading.value is None:
        return None

    def told(samples: Samples) -> float:
        touch()
        return reading.statistic(samples)

    interval = interval_within(reading.samples, told)
    if interval is None or not all(map(math.isfinite, interval)):
        return None
    low, high = (float(f"{each:.{DIGITS}g}") for each in interval)
    return low, high


def shown(reading: Reading) -> float | None:
    """Of a control also the value that would not be believed of a video: there it is what was to be seen."""
    if reading.is_invalid and reading.samples is not None:
        return reading.statistic(reading.samples)
    return reading.value


def rounded(value: float | None) -> float | None:
    """With DIGITS significant digits; None for what is no number."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{DIGITS}g}")


def _sync(figures: Mapping[str, Figure]) -> Sync:
    """By the first pair of figures that works."""
    for strength, offset in SYNC:
        strong, moved = figures[strength.name], figures[offset.name]
        is_found = strong.about.get("sync_found")
        if strong.status != "ok" or moved.value is None or is_found is None:
            continue
        if not is_found:
            return Sync(verdict="no sync found", by=strength.name, reason=strength.hint)
        frames = round(moved.value)
        if abs(frames) <= BUDGET_FRAMES:
            return Sync(verdict="in sync", offset_frames=frames, by=offset.name)
        verdict: Verdict = "audio early" if frames > 0 else "audio late"
        return Sync(verdict=verdict, offset_frames=frames, by=offset.name)
    reasons = "; ".join(figures[strength.name].reason or TOO_SHORT for strength, _ in SYNC)
    return Sync(verdict="unknown", reason=reasons)


def _warnings(judging: Judging, video: Judged) -> tuple[WarningRecord, ...]:
    found = []
    clip, facts, source = judging.clip, video.facts, judging.clip.facts_of(judging.clip.source)
    if (facts.width, facts.height) != (source.width, source.height):
        found.append(
            (
                "other_size",
                f"{facts.width}x{facts.height} was brought to the source's {source.width}x{source.height}",
            )
        )
    if facts.fps not in ("25", "25/1", None):  # a still has no rate
        found.append(
            ("other_rate", f"{facts.fps} frames a second were brought to 25: SyncNet's scores suffer")
        )
    missing = clip.sound.frames - video.frames
    if missing > LENGTH_FORGIVEN and clip.options.sync_mode != "cut":  # where it may end with the source
        found.append(("short", f"the video ends {missing / FPS:.2f} s before the audio"))
    return tuple(WarningRecord(code=code, message=message) for code, message in found)


def _traces(judging: Judging, video: Judged) -> Traces:
    loud = loudness(judging.sound.samples, judging.frames)
    made = curves(_lips(video), loud)
    recorded = curves(_lips(judging.floor), loud).aperture if judging.floor else ()
    return Traces(aperture=made.aperture, source_aperture=recorded, loudness=made.loudness)


def _lips(video: Judged) -> Curve:
    meter = video.judge.meters["lips"]
    assert isinstance(meter, LipsMeter)  # noqa: S101 - what that name stands for
    return meter.apertures


def _record(path: Path, facts: MediaFacts) -> InputRecord:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    name = path.name.encode(errors="replace").decode()  # a file's name may be no text, and JSON is
    return InputRecord(uri=name, bytes=path.stat().st_size, sha256=digest, facts=facts)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
