"""Every line of a worker's log names the job at hand."""

import io
import json
import logging
import os
import re
import signal
import threading
from contextvars import copy_context

import pytest

from contract.job import Delivery, Job, Row, Source
from tests.worker.scripted import row
from worker.logs import LOG_BYTES, LOG_LINES, about, begin, recorded


@pytest.fixture
def log(monkeypatch):
    """What a worker writes, by a root logger that is nobody's yet."""
    root = logging.RootLogger(logging.WARNING)
    monkeypatch.setattr(logging, "root", root)
    stream = io.StringIO()
    begin("text", stream)
    yield root, stream


def test_a_line_names_batch_row_and_job_and_one_between_jobs_none(log):
    root, stream = log
    job = Job(video=Source(uri="s3://b/v"), audio=Source(uri="s3://b/a"))
    root.info("waiting")
    with about(Delivery(batch="lessons", row=Row(id="one", job=job))):
        root.info("rendering")
        thread = threading.Thread(target=copy_context().run, args=(root.info, "beating"))
        thread.start()
        thread.join()
    root.info("waiting again")
    before, rendering, beating, after = stream.getvalue().splitlines()
    named = f"INFO batch=lessons row=one job={job.id[:12]} root: "
    assert named + "rendering" in rendering and named + "beating" in beating
    assert "INFO - root: waiting" in before and "INFO - root: waiting again" in after


def test_an_outage_of_the_broker_is_one_line_until_it_is_over(log, monkeypatch):
    root, stream = log
    consumer = logging.getLogger("celery.worker.consumer.consumer")
    monkeypatch.setattr(consumer, "parent", root)

    def said(words):
        return stream.getvalue().count(words)

    def tries():
        for number in range(3):
            consumer.error("consumer: Cannot connect to %s: %s.\n%s", "redis://", "refused", number)

    for outage in (1, 2):
        consumer.warning("%s (%r)", "consumer: Connection to broker lost.", "closed")
        tries()
        root.info("a job goes on")
        consumer.info("Connected to %s", "redis://")
        assert (said("broker lost"), said("a job goes on"), said("Connected to")) == (outage,) * 3
    assert said("Cannot connect") == 0
    tries()
    assert said("Cannot connect") == 1


# --- what is kept of an attempt


def lines(kept):
    return [json.loads(line) for line in kept.jsonl().splitlines()]


def test_an_attempts_log_is_one_object_a_line_with_the_traceback_of_a_defect(log):
    root, _ = log
    root.info("before")
    with recorded() as kept:
        root.warning("two\nlines, %s", "Zoë")
        thread = threading.Thread(target=root.info, args=("from a thread",))
        thread.start()
        thread.join()
        try:
            raise RuntimeError("a defect")
        except RuntimeError:
            root.exception("it broke")
    root.info("after")
    first, second, third = lines(kept)
    assert (first["level"], first["logger"], first["message"]) == ("WARNING", "root", "two\nlines, Zoë")
    assert first["time"].endswith("+00:00")
    assert second["message"] == "from a thread"
    assert third["traceback"].endswith("RuntimeError: a defect")


def test_what_is_new_in_a_log_is_told_once_and_what_was_dropped_never(log):
    root, _ = log
    with recorded() as kept:
        assert kept.after(0) == ([], 0)
        root.info("first")
        new, told = kept.after(0)
        assert (len(new), told) == (1, 1)
        assert kept.after(told) == ([], 1)
        for number in range(LOG_LINES + 10):
            root.info("line %d", number)
        new, told = kept.after(told)
        assert (len(new), told) == (LOG_LINES, LOG_LINES + 11)
        assert json.loads(new[0])["message"] == "line 10"


def test_of_a_long_log_the_end_is_kept_and_what_is_missing_is_said(log):
    root, _ = log
    with recorded() as kept:
        for number in range(LOG_LINES + 10):
            root.info("line %d", number)
    dropped, *rest = lines(kept)
    assert dropped["message"] == "10 earlier lines are not kept"
    assert [rest[0]["message"], rest[-1]["message"]] == ["line 10", f"line {LOG_LINES + 9}"]


def test_a_log_of_huge_lines_is_bounded_too(log):
    root, _ = log
    with recorded() as kept:
        for _ in range(60):
            root.info("x" * 1_000_000)
    assert LOG_BYTES / 2 < len(kept.jsonl()) < LOG_BYTES + 200


def test_a_line_that_cannot_be_formatted_ends_nothing(log, monkeypatch):
    root, _ = log
    monkeypatch.setattr(logging, "raiseExceptions", False)
    with recorded() as kept:
        root.info("%d frames", "many")
        root.info("goes on")
    assert [each["message"] for each in lines(kept)] == ["goes on"]


def test_nothing_logged_is_nothing_kept(log):
    with recorded() as kept:
        pass
    assert kept.jsonl() == b""


# --- as JSON


def test_every_line_of_a_worker_is_an_object_celerys_own_too_and_a_jobs_lines_name_the_attempt(
    worker, fed, begun, tmp_path
):
    with worker(log_format="json"), fed(row("moving-600"), lease_seconds=2):
        os.kill(begun("moving-600").child, signal.SIGKILL)
        begun("moving-600", number=2)
    said = (tmp_path / "worker.log").read_text().splitlines()
    told = [json.loads(line) for line in said if line.startswith("{")]
    banner = [line for line in said if not line.startswith("{")]  # which `celery --quiet` leaves out
    assert not [line for line in banner if re.search(r"DEBUG|INFO|WARNING|ERROR|Traceback|^  File", line)]
    begins = next(each for each in told if each["message"] == "attempt 2 begins")
    assert (begins["batch"], begins["row"]) == ("moving-600", "moving-600")
    assert begins["job"] == row("moving-600").job.id and len(begins["attempt"]) == 16
    assert any(each["logger"].startswith("celery.") for each in told)
    assert any("traceback" in each for each in told), "Celery tells of the child that was killed"
