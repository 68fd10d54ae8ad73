"""Every line of a worker's log names the job at hand."""

import io
import logging
import threading
from contextvars import copy_context

import pytest

from contract.job import Delivery, Job, Row, Source
from worker.logs import about, log_plainly


@pytest.fixture
def log(monkeypatch):
    """What a worker writes, by a root logger that is nobody's yet."""
    root = logging.RootLogger(logging.WARNING)
    monkeypatch.setattr(logging, "root", root)
    stream = io.StringIO()
    log_plainly(stream)
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
