"""All metrics that this machine can measure with, and why it cannot with the others."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Self

from contract.errors import ConfigurationError
from worker import weights
from worker.evaluation.metrics.base import Meter, Metric, Reading, Sound, View
from worker.evaluation.metrics.quantities import GROUPS, Group

PLAIN, NETWORKS = "evaluation", "evaluation,musetalk,upstream"
"""Extras that metrics without networks want, and those with."""


@dataclass
class Judge:
    """One video's meters, a group's by its module's name."""

    meters: dict[str, Meter]
    hearing: frozenset[str]

    def see(self, view: View) -> None:
        """The next frame; every frame, once and in order."""
        for meter in self.meters.values():
            meter.see(view)

    def readings(self, sound: Sound) -> dict[str, Reading]:
        """All figures with that audio."""
        return _together(self.meters.values(), sound)

    def heard(self, sound: Sound) -> dict[str, Reading]:
        """The figures that the audio changes."""
        return _together((meter for name, meter in self.meters.items() if name in self.hearing), sound)


def _together(meters: Iterable[Meter], sound: Sound) -> dict[str, Reading]:
    return {name: reading for meter in meters for name, reading in meter.readings(sound).items()}


@dataclass(frozen=True)
class Panel:
    """The metrics, loaded once for all videos."""

    metrics: dict[str, Metric]
    missing: dict[str, str] = field(default_factory=dict)
    """Why a figure cannot be had, by its name."""

    @classmethod
    def load(cls, folder: Path, threads: int, groups: Sequence[Group] = GROUPS) -> Self:
        """All groups whose weights are in that folder."""
        metrics: dict[str, Metric] = {}
        missing: dict[str, str] = {}
        for group in groups:
            try:
                metrics[group.module] = _load(group, folder, threads)
            except ConfigurationError as error:
                missing.update({each.name: error.message for each in group.quantities})
        return cls(metrics, missing)

    def judge(self) -> Judge:
        """For one video."""
        hearing = frozenset(name for name, metric in self.metrics.items() if metric.hears)
        return Judge({name: metric.meter() for name, metric in self.metrics.items()}, hearing)

    def weights(self, quantity: str) -> tuple[str, ...]:
        """Names of the weights that a figure was made with."""
        return next(
            (
                metric.weights
                for metric in self.metrics.values()
                if quantity in {each.name for each in metric.quantities}
            ),
            (),
        )


def _load(group: Group, folder: Path, threads: int) -> Metric:
    if group.weights:
        weights.require(group.weights, folder)
    try:
        module = import_module(f"worker.evaluation.metrics.{group.module}")
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{error.name} is not installed; pip install 'dubline[{NETWORKS if group.weights else PLAIN}]'"
        ) from error
    loaded: Metric = module.load(folder, threads)
    return loaded
