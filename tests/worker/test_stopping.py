"""How a worker stops, and how its slot works again after a job that hangs: real processes, real Celery."""

import signal
import time

from contract import keys
from contract.broker import publish
from contract.workers import Roster
from tests.worker.scripted import delivery, manifest_of, until


def test_a_job_that_ends_within_the_grace_period_is_committed_and_the_worker_ends_at_once(
    worker, app, storage, begun
):
    short = delivery("moving-2")
    publish(app, short)
    with worker(grace_seconds=60.0) as process:
        begun("moving-2")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert manifest_of(storage, short.row).status == "succeeded"


def test_a_job_that_does_not_is_handed_back_uncounted_and_urgent_and_the_next_one_is_not_begun(
    worker, app, storage, ledger, begun, tmp_path
):
    long = delivery("moving-60")
    job = long.row.job.id
    publish(app, long)
    with worker(grace_seconds=1.0) as process:
        begun("moving-60")
        publish(app, delivery("moving-0"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert ledger.urgent([job]) == {job}
    assert ledger.offer(job, lost_after_seconds=30) == "publish"
    claim = ledger.claim(job, "elsewhere", 30)
    assert (claim.outcome, claim.number, claim.preempted) == ("claimed", 1, 1)
    assert [each.key for each in storage.list(keys.attempts(job))]  # its log
    assert not (tmp_path / "moving-0.1").exists()


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
        until(lambda: manifest_of(storage, next_one.row), 20)
        failed = until(lambda: manifest_of(storage, hanging.row))
    assert (failed.status, failed.error.code, failed.attempt.number) == ("failed", "time_limit", 1)
    assert failed.log_key in failed.logs
    assert b"the render does not stop" in storage.get(failed.log_key)


def test_a_hanging_job_of_a_worker_that_stops_is_handed_back_all_the_same(worker, app, ledger, begun):
    hanging = delivery("hanging-60")
    publish(app, hanging)
    with worker(grace_seconds=0.5) as process:
        begun("hanging-60")
        process.send_signal(signal.SIGTERM)
        process.wait(60)
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
            asked = time.time()
            assert ledger.cancel([each.row.job.id]) == [each.row.job.id]
            cancelled = until(lambda each=each: manifest_of(storage, each.row))
            assert (cancelled.status, cancelled.error.code) == ("cancelled", "cancelled")
            assert cancelled.attempt.ended.timestamp() - asked < 5
