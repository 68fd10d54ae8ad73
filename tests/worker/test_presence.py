"""What a worker tells of itself and of the job at hand."""

import json
import logging
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from contract import keys
from contract.errors import NoFace
from contract.job import Delivery, Job, Row, Source
from contract.livelog import LiveLog
from contract.workers import Roster
from tests.figures import samples
from worker.presence import Presence
from worker.tasks import JobRunner

logger = logging.getLogger(__name__)

NAME = "worker1@here"


@pytest.fixture
def delivery():
    job = Job(video=Source(uri="s3://b/v.mp4"), audio=Source(uri="s3://b/a.wav"))
    return Delivery(batch="nightly", row=Row(id="clip", job=job))


@pytest.fixture
def roster(settings):
    return Roster(settings)


@pytest.fixture
def live(settings, delivery):
    log = LiveLog(settings)
    return lambda: [json.loads(each.line)["message"] for each in log.after(delivery.row.job.id)]


@pytest.fixture
def presence(settings, storage, ledger, caplog):
    """The presence of a runner for a given `perform`."""
    caplog.set_level(logging.INFO)

    def make(perform=lambda *_: None, **changes):
        runner = JobRunner(settings, storage, ledger, perform)
        return Presence(NAME, runner, settings.model_copy(update=changes)), runner

    return make


def test_a_worker_without_a_job_is_idle_and_says_what_it_runs(presence, roster):
    here, _ = presence()
    here.tell()
    (worker,) = roster.workers()
    assert (worker.name, worker.doing, worker.job) == (NAME, "idle", None)
    assert {"python", "dubline", "celery"} <= set(worker.software)


def test_a_worker_at_work_says_on_what_how_far_and_how_fast(presence, roster, delivery):
    def perform(ticket, progress, findings):
        findings.device = "cpu x86_64 Linux"
        here.tell()
        seen.extend(roster.workers())
        progress.enter("generating", total=50)
        time.sleep(0.05)
        progress.advance(25)
        here.tell()
        seen.extend(roster.workers())
        raise NoFace("nobody there")

    seen = []
    here, runner = presence(perform)
    runner.run(delivery, "tag")
    here.tell()
    staging, generating, after = *seen, *roster.workers()
    assert (staging.doing, staging.stage, staging.device) == ("busy", "staging", None), (
        "no engine is there yet"
    )
    assert (generating.batch, generating.row, generating.job) == ("nightly", "clip", delivery.row.job.id)
    assert (generating.stage, generating.frames, generating.total) == ("generating", 25, 50)
    assert generating.fps > 25
    assert (after.doing, after.job, after.device) == ("idle", None, "cpu x86_64 Linux")


def test_a_worker_that_was_told_to_give_back_its_job_stops(presence, roster, delivery):
    def perform(ticket, progress, findings):
        runner.stop()
        here.tell()
        seen.extend(roster.workers())
        progress.check()

    seen = []
    here, runner = presence(perform)
    assert runner.run(delivery, "tag") == "released"
    assert [(each.doing, each.row) for each in seen] == [("stopping", "clip")]


def cuda(error=None):
    def mem_get_info():
        if error:
            raise error
        return 10 * 2**30, 24 * 2**30

    cuda = SimpleNamespace(
        is_initialized=lambda: True, mem_get_info=mem_get_info, get_device_name=lambda: "NVIDIA L4"
    )
    return SimpleNamespace(cuda=cuda)


def test_the_memory_of_a_gpu_in_use_is_told(presence, roster, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", cuda())
    monkeypatch.setattr("worker.presence.SOFTWARE", ())
    monkeypatch.setattr("worker.presence.version", lambda name: "2.13")
    here, _ = presence()
    here.tell()
    (worker,) = roster.workers()
    assert (worker.device, worker.gpu_used_bytes, worker.gpu_bytes) == ("NVIDIA L4", 14 * 2**30, 24 * 2**30)
    assert worker.software["torch"] == "2.13"


def test_a_gpu_that_fails_every_call_is_no_reason_to_fall_silent(presence, roster, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", cuda(RuntimeError("CUDA error: an illegal memory access")))
    monkeypatch.setattr("worker.presence.version", lambda name: "2.13")
    here, _ = presence()
    here.tell()
    (worker,) = roster.workers()
    assert (worker.doing, worker.gpu_bytes) == ("idle", None)


def test_prometheus_hears_of_the_job_and_the_gpu_too_also_while_redis_is_away(
    presence, delivery, monkeypatch
):
    def perform(ticket, progress, findings):
        progress.enter("generating", total=50)
        time.sleep(0.05)
        progress.advance(25)
        here.tell()
        seen.append(samples(runner.metrics.registry))
        raise NoFace("nobody there")

    monkeypatch.setitem(sys.modules, "torch", cuda())
    monkeypatch.setattr("worker.presence.version", lambda name: "2.13")
    seen = []
    here, runner = presence(perform, redis_url=SecretStr("redis://127.0.0.1:1/0"))
    runner.run(delivery, "tag")
    here.tell()
    busy, idle = *seen, samples(runner.metrics.registry)
    assert busy["dubline_job_fps"] > 25 and idle["dubline_job_fps"] == 0
    assert abs(time.time() - busy["dubline_job_moved_timestamp_seconds"]) < 600
    assert idle["dubline_job_moved_timestamp_seconds"] == 0
    assert idle['dubline_gpu_memory_used_bytes{gpu="NVIDIA L4"}'] == 14 * 2**30
    assert idle['dubline_gpu_memory_bytes{gpu="NVIDIA L4"}'] == 24 * 2**30
    assert idle["dubline_attempts_total"] == 1
    assert idle['dubline_attempt_failures_total{code="no_face"}'] == 1


# --- what the job at hand logs


def test_lines_are_there_while_the_attempt_runs_and_each_once(presence, live, delivery):
    def perform(ticket, progress, findings):
        logger.info("half way")
        here.tell()
        here.tell()
        seen.extend(live())
        logger.info("nearly there")
        raise NoFace("nobody there")

    seen = []
    here, runner = presence(perform)
    runner.run(delivery, "tag")
    assert seen == ["attempt 1 begins", "half way"]
    here.tell()
    assert live()[:4] == [*seen, "nearly there", "the job ends [no_face]: nobody there"]


def test_what_is_told_live_is_what_the_attempt_leaves(presence, settings, storage, delivery):
    def perform(ticket, progress, findings):
        logger.error("it broke\n%s", "Zoë", exc_info=ValueError("a defect"))
        raise NoFace("nobody there")

    here, runner = presence(perform)

    def telling(*_):
        here.tell()  # sees the attempt
        perform(*_)

    runner._perform = telling
    runner.run(delivery, "tag")
    here.tell()
    lines = [each.line for each in LiveLog(settings).after(delivery.row.job.id)]
    (log,) = [each.key for each in storage.list(keys.attempts(delivery.row.job.id)) if "log" in each.key]
    left = storage.get(log).decode().splitlines()
    assert lines[: len(left)] == left


def test_two_jobs_one_after_the_other_do_not_mix(presence, settings, delivery):
    def perform(ticket, progress, findings):
        logger.info("of %s", ticket.delivery.row.id)
        here.tell()
        raise NoFace("nobody there")

    here, runner = presence(perform)
    other = Job(video=Source(uri="s3://b/v.mp4"), audio=Source(uri="s3://b/other.wav"))
    runner.run(delivery, "tag")
    runner.run(delivery.model_copy(update={"row": Row(id="other", job=other)}), "tag")
    here.tell()

    def told(job):
        return " ".join(each.line for each in LiveLog(settings).after(job))

    assert "of clip" in told(delivery.row.job.id) and "of other" not in told(delivery.row.job.id)
    assert "of other" in told(other.id) and "of clip" not in told(other.id)


def test_without_redis_it_says_so_once_and_tells_again_when_it_is_back(presence, roster, settings, caplog):
    here, _ = presence(redis_url=SecretStr("redis://127.0.0.1:1/0"))
    here.tell()
    here.tell()
    assert caplog.text.count("nobody is told what this worker does") == 1
    here._roster = roster
    here.tell()
    assert [each.name for each in roster.workers()] == [NAME]


def test_it_tells_again_and_again_from_a_thread_of_its_own(presence, roster, monkeypatch):
    monkeypatch.setattr("worker.presence.TELL_SECONDS", 0.05)
    here, _ = presence()
    here.start()
    until = time.monotonic() + 10
    while not roster.workers():
        assert time.monotonic() < until
        time.sleep(0.05)
    roster.leave(NAME)
    while not roster.workers():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert "presence" in {each.name for each in threading.enumerate()}
    here.stop()
