"""Spans of any process find their row's trace by its names, and nobody waits for a collector."""

import logging
import subprocess
import sys
import time

import pytest

from contract import traces
from contract.errors import ConfigurationError
from contract.settings import Settings
from tests.collector import collecting

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")


@pytest.fixture
def collector():
    with collecting() as found:
        yield found


@pytest.fixture
def settings(collector):
    return Settings(otlp_endpoint=collector.endpoint)


def test_what_different_processes_do_for_a_row_is_one_trace_below_its_submission(settings, collector):
    with traces.traced(settings, "feeder"), traces.span("publish", "lessons", "one"):
        pass
    with traces.traced(settings, "worker"), traces.span("attempt", "lessons", "one", number=1):
        traces.passed("generate", 1_000, 2_000, busy_seconds=0.5)
        with traces.span("commit"):
            pass
        traces.note(outcome="committed")
    with traces.traced(settings, "submit"):  # comes last: whoever is first does not matter
        traces.submitted("lessons", ["one", "two"], time.time() - 1)
    one, two = collector.named("submit")
    (publish,), (attempt,) = collector.named("publish"), collector.named("attempt")
    (generate,), (commit,) = collector.named("generate"), collector.named("commit")
    assert {each.trace for each in (one, publish, attempt, generate, commit)} == {one.trace} != {two.trace}
    assert one.parent == "" and publish.parent == attempt.parent == one.id
    assert generate.parent == commit.parent == attempt.id
    assert (generate.began_ns, generate.ended_ns, generate.facts["dubline.busy_seconds"]) == (1000, 2000, 0.5)
    assert attempt.facts["dubline.outcome"] == "committed" and attempt.facts["dubline.row"] == "one"
    assert 0.5 < (one.ended_ns - one.began_ns) / 1e9 < 600
    assert [each.service for each in (one, publish, attempt)] == [
        "dubline-submit",
        "dubline-feeder",
        "dubline-worker",
    ]


def test_another_process_computes_the_same_ids():
    code = "from contract.traces import _ids; print(*_ids('lessons', 'one'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert tuple(map(int, done.stdout.split())) == traces._ids("lessons", "one")
    assert traces._ids("lessons", "one") != traces._ids("lessons", "two")


def test_an_attempt_that_fails_is_an_error_with_its_code(settings, collector):
    with traces.traced(settings, "worker"), traces.span("attempt", "lessons", "one"):
        traces.failed("no_face", "nobody there")
    (attempt,) = collector.named("attempt")
    assert attempt.is_error and attempt.facts["dubline.code"] == "no_face"


def test_of_a_part_of_all_rows_every_process_traces_the_same(settings, collector):
    some = settings.model_copy(update={"trace_ratio": 0.5})
    rows = [f"row-{number}" for number in range(64)]
    for service in ("feeder", "worker"):
        with traces.traced(some, service):
            for row in rows:
                with traces.span(service, "lessons", row):
                    pass
    with traces.traced(some, "submit"):
        traces.submitted("lessons", rows, time.time())
    picked = [
        {each.facts["dubline.row"] for each in collector.named(name)}
        for name in ("feeder", "worker", "submit")
    ]
    assert picked[0] == picked[1] == picked[2] and 0 < len(picked[0]) < 64


def test_of_a_huge_submission_no_more_spans_are_made_than_can_wait(settings, collector, monkeypatch):
    monkeypatch.setattr(traces, "SUBMITTED_ROWS", 3)
    with traces.traced(settings, "submit"):
        traces.submitted("lessons", (str(number) for number in range(10)), time.time())
    assert len(collector.spans) == 3 and traces.QUEUE_SPANS > 10_000


@pytest.mark.parametrize("away", ["nobody listens", "it refuses", "it never answers"])
def test_a_collector_that_is_away_delays_nothing_and_is_told_once(
    away, collector, settings, caplog, monkeypatch, silent
):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(traces, "FLUSH_SECONDS", 0.5)
    collector.status = 503
    there = {"nobody listens": "http://127.0.0.1:1", "it never answers": silent}
    endpoint = there.get(away, collector.endpoint)
    began = time.monotonic()
    with traces.traced(settings.model_copy(update={"otlp_endpoint": endpoint}), "worker"):
        for _ in range(2000):
            with traces.span("attempt", "lessons", "one"):
                pass
        assert time.monotonic() - began < 5
    assert time.monotonic() - began < 10
    assert caplog.text.count(f"traces are dropped: {endpoint}") <= 1 and "Traceback" not in caplog.text


@pytest.fixture
def silent():
    """A server that takes connections, and says nothing."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_collector_that_goes_and_comes_again_is_one_line_each(settings, collector, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(traces, "DELAY_SECONDS", 0.05)
    with traces.traced(settings, "worker"):
        collector.status = 400  # not worth a repetition
        sent_until(lambda: f"traces are dropped: {collector.endpoint}" in caplog.text)
        collector.status = 200
        sent_until(lambda: "traces are taken again" in caplog.text)
    told = f"traces are dropped: {collector.endpoint} does"  # an earlier test's exporter may still give up on its own
    assert caplog.text.count(told) == 1


def sent_until(true):
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        with traces.span("attempt", "lessons", "one"):
            time.sleep(0.05)


def test_without_a_collector_nothing_is_imported_and_nothing_happens():
    code = (
        "import sys, time; from contract import traces; from contract.settings import Settings\n"
        "with traces.traced(Settings(), 'worker'), traces.span('attempt', 'b', 'r'):\n"
        "    traces.note(a=1); traces.failed('x', 'y'); traces.passed('p', 1, 2); traces.submitted('b', ['r'], 0)\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_extra_the_switch_says_how_to_install_it(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'dubline\[otel\]'.*DUBLINE_OTLP_ENDPOINT"):
        traces.begin(settings, "worker")
    traces.begin(Settings(), "worker")
