"""Prometheus reads what a process counts, and nothing is lost with a process that ends."""

import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from contract import scrape
from contract.errors import ConfigurationError
from contract.metrics import WorkerMetrics
from contract.scrape import FILES, counted_by_children, exposed
from contract.settings import Settings
from producer.local import _free_ports
from tests.figures import samples

CHILD = """
import sys
from contract.ledger import Progress
from contract.metrics import WorkerMetrics
from contract.scrape import count_for_parent
count_for_parent(0)
metrics = WorkerMetrics()
metrics.child_begins()
metrics.attempt_failed("engine_failed")
if "--job" in sys.argv:
    metrics.at_hand(Progress("generating", fps=25.0))
    metrics.gpu("H200", 1, 2, None)
"""


@pytest.fixture
def port():
    return _free_ports(1)[0]


def read(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return answer.read().decode()


def test_metrics_are_served_while_the_block_runs_and_the_port_is_free_afterwards(port):
    metrics = WorkerMetrics()
    for _ in range(2):
        with exposed(Settings(metrics_port=port), metrics.registry):
            metrics.attempt_begins()
            text = read(port)
        with pytest.raises(urllib.error.URLError):
            read(port)
    assert "dubline_attempts_total 2.0" in text
    assert "process_start_time_seconds" in text and "_created" not in text


def test_without_a_port_nothing_is_served(monkeypatch):
    monkeypatch.setattr(scrape, "start_http_server", lambda *_: pytest.fail("it is served"))
    with exposed(Settings(), WorkerMetrics().registry):
        pass


def test_a_port_that_is_taken_is_named_with_the_setting(port):
    with (
        exposed(Settings(metrics_port=port)),
        pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{port}.*DUBLINE_METRICS_PORT"),
        exposed(Settings(metrics_port=port)),
    ):
        pass


def test_counters_go_on_where_a_child_that_ended_stopped_and_its_gauges_are_gone(tmp_path, monkeypatch):
    monkeypatch.setenv(FILES, "")
    seen = counted_by_children(tmp_path)
    subprocess.run([sys.executable, "-c", CHILD, "--job"], check=True)
    first = samples(seen)
    subprocess.run([sys.executable, "-c", CHILD], check=True)
    second = samples(seen)
    failures = 'dubline_attempt_failures_total{code="engine_failed"}'
    assert (first["dubline_worker_children_total"], first[failures]) == (1, 1)
    assert (second["dubline_worker_children_total"], second[failures]) == (2, 2)
    assert first["dubline_job_fps"] == 25 and second["dubline_job_fps"] == 0
    gpu = 'dubline_gpu_memory_bytes{gpu="H200"}'
    assert gpu in first and gpu not in second
    assert len(list(tmp_path.iterdir())) == 3  # however many children there were
