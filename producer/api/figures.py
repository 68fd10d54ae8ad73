"""What is counted for Prometheus. Labels are addresses as they are declared, never what a client wrote."""

import os
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""Set before the library is imported, where several processes serve: each counts in files of this folder."""
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600)
NOWHERE = "none"
"""The address of what matched none."""


class Figures(Collector):
    """The counters of one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "dubline_api_requests",
            "Requests by address, method and status.",
            ["address", "method", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "dubline_api_request_seconds",
            "Time until a request was answered whole.",
            ["address"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self.uploaded = Counter(
            "dubline_api_uploaded_bytes", "Bytes of files that came in by forms.", registry=self._registry
        )
        self.followers = Gauge(
            "dubline_api_followers",
            "Clients that follow the events of a job.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )

    def collect(self) -> Iterable[Metric]:
        """The figures of this process."""
        return self._registry.collect()

    def text(self) -> bytes:
        """All figures, of all processes, as Prometheus reads them."""
        together = CollectorRegistry()
        together.register(of_all_processes() if MULTIPROCESS in os.environ else self)
        return generate_latest(together)


def of_all_processes() -> Collector:
    """The figures of all that count in the folder that `MULTIPROCESS` names."""
    return MultiProcessCollector(None)  # type: ignore[no-untyped-call]
