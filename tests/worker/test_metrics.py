"""A worker's metrics are served by its parent, also when the child that counts them is killed."""

import os
import signal
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from producer.local import _free_ports
from tests.figures import series
from tests.worker.scripted import row, until


def told(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return series(text_string_to_metric_families(answer.read().decode()))


def test_a_worker_serves_what_its_children_count_whichever_of_them_is_killed(worker, fed, begun):
    (port,) = _free_ports(1)
    with worker(metrics_port=port), fed(row("moving-600"), lease_seconds=2):
        first = begun("moving-600")
        busy = until(lambda: (found := told(port))["dubline_job_moved_timestamp_seconds"] and found)
        os.kill(first.child, signal.SIGKILL)
        second = begun("moving-600", number=2)
        after = until(lambda: (found := told(port))["dubline_attempts_total"] == 2 and found)
    assert second.child != first.child
    assert busy["dubline_worker_children_total"] == 1 and after["dubline_worker_children_total"] == 2
    assert busy["dubline_attempts_total"] == 1
    assert after["dubline_scratch_bytes"] > 0 and after["process_start_time_seconds"] > 0
