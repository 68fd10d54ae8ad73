"""One delivery's life on a real ledger and a real store: claim, attempt, retry class, commit."""

import contextlib
import time
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from contract import keys
from contract.errors import ConfigurationError, EngineFailed, NoFace, StoreUnavailable
from contract.job import Delivery, Job, Row, Source
from contract.ledger import Ledger
from contract.manifest import Manifest, OutputRecord
from worker import retry
from worker.tasks import JobRunner

VIDEO = b"not really a video"


@pytest.fixture
def delivery():
    job = Job(video=Source(uri="s3://b/v.mp4", etag="1"), audio=Source(uri="s3://b/a.wav", etag="2"))
    return Delivery(batch="b1", row=Row(id="clip", job=job))


@pytest.fixture
def runner(settings, storage, ledger, monkeypatch):
    """A runner for a given `perform`; backoff and leases are short."""

    for each in ("BACKOFF_SECONDS", "TROUBLE_SECONDS", "MISCONFIGURED_SECONDS"):
        monkeypatch.setattr(retry, each, 0.0)

    def make(perform):
        return JobRunner(settings.model_copy(update={"lease_seconds": 1.0}), storage, ledger, perform)

    return make


@pytest.fixture
def manifest(storage, delivery):
    def read():
        return Manifest.model_validate_json(storage.get(keys.manifest(delivery.row.job.id)))

    return read


def succeed(storage):
    def perform(ticket, progress, findings):
        key = keys.attempt(ticket.job_id, ticket.attempt_id, "video.mp4")
        storage.put(key, VIDEO)
        findings.output = OutputRecord(
            key=key, bytes=len(VIDEO), sha256="0" * 64, frames=1, fps="25", duration_seconds=0.04,
            width=2, height=2, video_codec="h264", audio_codec="aac",
        )  # fmt: skip

    return perform


def fail(error):
    def perform(ticket, progress, findings):
        findings.device = "a device"
        raise error

    return perform


def test_a_success_is_committed_and_copied_under_the_rows_name(runner, storage, ledger, delivery, manifest):
    assert runner(succeed(storage)).run(delivery, "tag") == "committed"
    assert manifest().status == "succeeded"
    assert manifest().attempt.number == 1
    assert storage.get(keys.output("b1", "clip")) == VIDEO
    assert ledger.progress([delivery.row.job.id])[0].state == "done"


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_finished_segments_go_with_success_and_stay_for_a_job_that_may_be_asked_for_again(
    runner, storage, delivery, ends
):
    part = keys.segments(delivery.row.job.id, "00000000.part")
    storage.put(part, b"")
    runner(succeed(storage) if ends == "well" else fail(NoFace("nobody there"))).run(delivery, "tag")
    assert storage.get(part) == (None if ends == "well" else b"")


def test_a_rejected_pair_leaves_a_failed_manifest_at_once_and_no_output(runner, storage, delivery, manifest):
    assert runner(fail(NoFace("nobody there"))).run(delivery, "tag") == "committed"
    found = manifest()
    assert (found.status, found.error.code, found.error.retryable) == ("failed", "no_face", False)
    assert found.device == "a device"
    assert storage.stat(keys.output("b1", "clip")) is None


def test_a_second_delivery_of_committed_work_runs_nothing_and_heals_the_copy(
    runner, storage, delivery, manifest
):
    runner(succeed(storage)).run(delivery, "tag")
    other = delivery.model_copy(update={"batch": "b2"})
    assert runner(fail(AssertionError("ran twice"))).run(other, "tag") == "already committed"
    assert storage.get(keys.output("b2", "clip")) == VIDEO
    assert manifest().batch == "b1"


def test_a_delivery_of_a_job_that_another_holds_steps_aside(runner, ledger, delivery):
    ledger.claim(delivery.row.job.id, "another", 30)
    assert runner(fail(AssertionError("ran twice"))).run(delivery, "tag") == "held elsewhere"


@pytest.mark.parametrize("error", [EngineFailed("cuda"), RuntimeError("a defect")])
def test_a_failure_that_may_pass_is_tried_again_until_attempts_are_spent(
    runner, settings, storage, delivery, manifest, error
):
    work = runner(fail(error))
    for _ in range(settings.attempts - 1):
        assert work.run(delivery, "tag") == "released"
        assert storage.stat(keys.manifest(delivery.row.job.id)) is None
    assert work.run(delivery, "tag") == "committed"
    assert manifest().status == "failed"
    assert manifest().error.code == "engine_failed"
    assert manifest().attempt.number == settings.attempts


def test_the_store_being_away_never_fails_a_job(runner, settings, storage, delivery):
    work = runner(fail(StoreUnavailable("away")))
    for _ in range(settings.attempts + 1):
        assert work.run(delivery, "tag") == "released"
    assert storage.stat(keys.manifest(delivery.row.job.id)) is None


def test_a_worker_that_cannot_run_jobs_hands_them_back_uncounted(
    runner, storage, ledger, delivery, manifest, monkeypatch
):
    monkeypatch.setattr(retry, "MISCONFIGURED_SECONDS", 0.3)
    assert runner(fail(ConfigurationError("no weights"))).run(delivery, "tag") == "released"
    assert ledger.offer(delivery.row.job.id, lost_after_seconds=0) == "later"
    time.sleep(0.3)
    runner(succeed(storage)).run(delivery, "tag")
    assert manifest().attempt.number == 1


def test_a_stopped_worker_hands_the_job_back_uncounted_and_at_once(
    runner, storage, ledger, delivery, manifest
):
    with pytest.raises(SystemExit):
        runner(fail(SystemExit())).run(delivery, "tag")
    assert ledger.offer(delivery.row.job.id, lost_after_seconds=0) == "publish"
    runner(succeed(storage)).run(delivery, "tag")
    assert manifest().attempt.number == 1


def test_a_job_that_ends_its_workers_is_failed_after_as_many_attempts(
    runner, settings, ledger, delivery, manifest
):
    for number in range(settings.lost_attempts + 1):
        assert ledger.claim(delivery.row.job.id, f"killed {number}", 0.001).outcome == "claimed"
        time.sleep(0.01)
    assert runner(fail(AssertionError("ran again"))).run(delivery, "tag") == "committed"
    assert manifest().error.code == "worker_lost"


def test_of_two_attempts_at_once_one_is_committed_and_both_see_it(
    runner, storage, ledger, delivery, manifest
):
    def overtaken(ticket, progress, findings):
        succeed(storage)(ticket, progress, findings)
        winner = Manifest(
            status="succeeded",
            job_id=ticket.job_id,
            batch="b1",
            row="clip",
            job=ticket.delivery.row.job,
            attempt={
                "id": "winner", "number": 1, "host": "h",
                "started": datetime.now(UTC), "ended": datetime.now(UTC),
            },
            output=findings.output,
        )  # fmt: skip
        storage.put(keys.manifest(ticket.job_id), winner.model_dump_json().encode())

    assert runner(overtaken).run(delivery, "tag") == "committed"
    assert manifest().attempt.id == "winner"


def test_an_attempt_whose_lease_is_anothers_stops_before_its_commit(runner, storage, ledger, delivery):
    job = delivery.row.job.id

    def robbed(ticket, progress, findings):
        ledger.forget(job)
        ledger.claim(job, "another", 30)
        with contextlib.suppress(TimeoutError):
            for _ in range(100):
                progress.advance()
                time.sleep(0.05)
        pytest.fail("went on without the lease")

    assert runner(robbed).run(delivery, "tag") == "lease lost"
    assert storage.stat(keys.manifest(job)) is None


def test_the_ledger_saying_ended_without_a_manifest_is_wrong_and_forgotten(runner, storage, ledger, delivery):
    ledger.finish(delivery.row.job.id, "done")
    assert runner(succeed(storage)).run(delivery, "tag") == "released"
    assert ledger.offer(delivery.row.job.id, lost_after_seconds=0) == "publish"
    assert runner(succeed(storage)).run(delivery, "tag") == "committed"


def test_a_wiped_redis_does_not_stop_the_job_at_hand(runner, storage, ledger, delivery, manifest):
    def wiped(ticket, progress, findings):
        ledger.forget(delivery.row.job.id)
        time.sleep(0.6)
        assert ledger.claim(delivery.row.job.id, "another", 30).outcome == "busy"
        succeed(storage)(ticket, progress, findings)

    assert runner(wiped).run(delivery, "tag") == "committed"
    assert manifest().status == "succeeded"


def test_a_result_whose_video_is_gone_again_stays_committed(runner, storage, ledger, delivery, manifest):
    runner(succeed(storage)).run(delivery, "tag")
    storage.delete(manifest().output.key)
    other = delivery.model_copy(update={"batch": "b2"})
    assert runner(fail(AssertionError("ran again"))).run(other, "tag") == "already committed"
    assert manifest().status == "succeeded"


def test_a_delivery_while_redis_is_away_is_dropped_for_the_feeder_without_a_traceback(
    settings, storage, delivery, caplog
):
    away = Ledger(settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")}))
    work = JobRunner(settings, storage, away, fail(AssertionError("ran without a claim")))
    assert work.run(delivery, "tag") == "released"
    assert [(each.levelname, each.exc_info) for each in caplog.records] == [("WARNING", None)]
