"""All metrics by their names, and what a source of them tells."""

from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from contract.backlog import BacklogRecord
from contract.metrics import (
    FeederMetrics,
    FleetMetrics,
    QueueMetrics,
    Scene,
    ScratchMetrics,
    WatchMetrics,
    WorkerMetrics,
)
from contract.queue import QueueFigures
from producer.api.figures import Figures


def all_families():
    """Every metric that a process of Dubline serves, each with samples."""
    worker = WorkerMetrics()
    worker.gpu("H200", 1, 2, 0.5)
    worker._cost.labels("USD")
    fleet = FleetMetrics()
    fleet.looked((), 0, None)
    nothing = QueueFigures({"urgent": 0, "high": 0, "normal": 0, "low": 0}, 0, None)
    sources = (
        worker.registry,
        FeederMetrics(lambda: 0, lambda: 0).registry,
        WatchMetrics().registry,
        QueueMetrics(lambda: Scene(nothing, (), BacklogRecord(batches=0, rows=0), 1.0)),
        fleet.registry,
        ScratchMetrics(Path.cwd()),
    )
    return [family for each in (*sources, Figures()._registry) for family in families(each)]


def families(source):
    """As Prometheus reads them, without when each series began."""
    registry = CollectorRegistry()
    registry.register(source)
    found = text_string_to_metric_families(generate_latest(registry).decode())
    return [family for family in found if not family.name.endswith("_created")]


def samples(source):
    """The value of each series."""
    return series(families(source))


def series(found):
    told = {}
    for family in found:
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            told[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return told


def names():
    """Every name that a query may use."""
    ends = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
    return {family.name + end for family in all_families() for end in ends[family.type]}
