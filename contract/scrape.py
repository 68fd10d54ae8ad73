"""How Prometheus gets what a process counts: by HTTP, and of a process that may end at any moment through its parent."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from contract.errors import ConfigurationError
from contract.settings import PREFIX, Settings

FILES = "PROMETHEUS_MULTIPROC_DIR"
"""The library's own variable: the folder of the files that a worker's child counts in."""


@contextmanager
def exposed(settings: Settings, *sources: Collector) -> Iterator[None]:
    """Serve these at /metrics while the block runs, where the settings name a port.

    Raises:
        ConfigurationError: it cannot be listened on.
    """
    if settings.metrics_port is None:
        yield
        return
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nobody asks for
    together = CollectorRegistry()
    for each in (ProcessCollector(registry=None), *sources):
        together.register(each)
    try:
        server, thread = start_http_server(settings.metrics_port, settings.metrics_host, together)
    except OSError as error:
        raise ConfigurationError(
            f"metrics cannot be served at {settings.metrics_host}:{settings.metrics_port}: {error.strerror}; "
            f"set {PREFIX}METRICS_PORT to another, or leave it out"
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def counted_by_children(folder: Path) -> Collector:
    """What the processes count that a worker starts from here on, each in files of the folder.

    Its counters go on where the process before stopped: one that ends with its job, as after a failure of the engine,
    would else take with it what was never asked for.
    """
    os.environ[FILES] = str(folder)
    return MultiProcessCollector(None, str(folder))  # type: ignore[no-untyped-call]


def count_for_parent(place: int) -> None:
    """In a child, before it makes its metrics: count where the last one at this place counted, if a parent tells it."""
    if folder := os.environ.get(FILES):
        mark_process_dead(place, folder)  # type: ignore[no-untyped-call]  # its gauges were the last one's
        values.ValueClass = values.MultiProcessValue(lambda: place)  # type: ignore[no-untyped-call]
