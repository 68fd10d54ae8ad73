"""How a worker stops, and how its slot works again after a job that hangs: real processes, real Celery."""

import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from contract import keys
from contract.broker import publish
from contract.job import Delivery, Job, Row, Source
from contract.manifest import Manifest
from contract.workers import Roster
from producer.local import _environment

WORKER = [sys.executable, "-m", "celery", "-A", "tests.worker.scripted_worker", "worker"]
QUICKLY = ["--without-gossip", "--without-mingle"]


def delivery(name, **more):
    job = Job(video=Source(uri=f"s3://b/{name}"), audio=Source(uri="s3://b/a"))
    return Delivery(batch="b", row=Row(id=name, job=job, **more))


def until(true, seconds=30):
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
    return found


@pytest.fixture
def worker(settings, storage, tmp_path):
    """Start a worker with these settings; in the block it runs."""

    @contextmanager
    def start(**these):
        mine = settings.model_copy(update=these)
        environment = _environment(mine) | {"STARTED": str(tmp_path)}
        environment.pop("REMAP_SIGTERM", None)  # plain Celery
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen([*WORKER, *QUICKLY], env=environment, stdout=log, stderr=log)
        try:
            yield process
        except BaseException as error:
            error.add_note((tmp_path / "log").read_text())
            raise
        finally:
            process.kill()
            process.wait()

    return start


@pytest.fixture
def begun(tmp_path):
    """Wait until the attempt of that number at the row has begun."""
    return lambda row, number=1: until((tmp_path / f"{row}.{number}").exists)


def manifest_of(storage, delivery):
    body = storage.get(keys.manifest(delivery.row.job.id))
    return Manifest.model_validate_json(body) if body else None


def test_a_job_that_ends_within_the_grace_period_is_committed_and_the_worker_ends_at_once(
    worker, app, storage, begun
):
    short = delivery("moving-2")
    publish(app, short)
    with worker(grace_seconds=60.0) as process:
        begun("moving-2")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert manifest_of(storage, short).status == "succeeded"


def test_a_job_that_does_not_is_handed_back_uncounted_and_urgent_and_runs_elsewhere(
    worker, app, storage, ledger, begun
):
    long = delivery("moving-60")
    job = long.row.job.id
    publish(app, long)
    with worker(grace_seconds=1.0) as process:
        begun("moving-60")
        process.send_signal(signal.SIGTERM)
        stopped = time.monotonic()
        assert process.wait(10) == 0
        assert time.monotonic() - stopped < 5
    assert ledger.urgent([job]) == {job}
    assert ledger.offer(job, lost_after_seconds=30) == "publish"
    claim = ledger.claim(job, "elsewhere", 30)
    assert (claim.outcome, claim.number, claim.preempted) == ("claimed", 1, 1)
    assert [each.key for each in storage.list(keys.attempts(job))]  # its log


def test_a_worker_in_its_grace_period_is_seen_to_stop_and_then_leaves_the_roster(
    worker, app, settings, begun
):
    roster = Roster(settings)
    publish(app, delivery("moving-6"))
    with worker(grace_seconds=60.0) as process:
        begun("moving-6")
        until(lambda: [each.doing for each in roster.workers()] == ["busy"])
        process.send_signal(signal.SIGTERM)
        until(lambda: [(each.doing, each.row) for each in roster.workers()] == [("stopping", "moving-6")])
        assert process.wait(30) == 0
    assert roster.workers() == []


def test_a_job_that_hangs_beyond_its_time_is_ended_and_the_slot_works_again(
    worker, app, storage, ledger, begun
):
    hanging, next_one = delivery("hanging-60", time_limit_seconds=1.0), delivery("moving-0")
    publish(app, hanging)
    with worker(attempts=1):
        begun("hanging-60")
        publish(app, next_one)
        until(lambda: manifest_of(storage, next_one), 20)
        failed = until(lambda: manifest_of(storage, hanging))
    assert (failed.status, failed.error.code, failed.attempt.number) == ("failed", "time_limit", 1)
    assert failed.log_key in failed.logs
    assert b"the render does not stop" in storage.get(failed.log_key)


def test_a_hanging_job_of_a_worker_that_stops_is_handed_back_all_the_same(worker, app, ledger, begun):
    hanging = delivery("hanging-60")
    publish(app, hanging)
    with worker(grace_seconds=0.5) as process:
        begun("hanging-60")
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    claim = ledger.claim(hanging.row.job.id, "elsewhere", 30)
    assert (claim.outcome, claim.attempts, claim.lost, claim.preempted) == ("claimed", 0, 0, 1)


def test_a_running_job_that_is_cancelled_stops_within_5_seconds_and_its_manifest_says_so(
    worker, app, storage, ledger, begun
):
    moving, hanging = delivery("moving-60"), delivery("hanging-60")
    for each in (moving, hanging):
        publish(app, each)
    with worker():
        for each in (moving, hanging):
            begun(each.row.id)
            assert ledger.cancel([each.row.job.id]) == [each.row.job.id]
            asked = time.monotonic()
            cancelled = until(lambda each=each: manifest_of(storage, each))
            assert time.monotonic() - asked < 6
            assert (cancelled.status, cancelled.error.code) == ("cancelled", "cancelled")
