"""One delivery's life on a real ledger and a real store: claim, attempt, retry class, commit."""

import contextlib
import hashlib
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from contract import keys
from contract.deadletter import DeadLetter
from contract.errors import (
    BrokerUnavailable,
    Cancelled,
    ConfigurationError,
    EngineFailed,
    NoFace,
    ResourceExhausted,
    StoreUnavailable,
)
from contract.job import Delivery, Job, Row, Source
from contract.ledger import Ledger
from contract.manifest import Manifest, OutputRecord
from contract.pace import Pace
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
def counted(ledger, delivery):
    """Attempts that failed, were lost, and were stopped, as the next claim tells."""

    def claim():
        claim = ledger.claim(delivery.row.job.id, "the next", 30)
        assert claim.outcome == "claimed"
        return claim.attempts, claim.lost, claim.preempted

    return claim


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


def test_neither_manifest_nor_log_tells_the_query_of_a_url(runner, storage, delivery):
    far = Source(uri="https://host/v.mp4?sig=hunter2")
    job = delivery.row.job.model_copy(update={"video": far})
    asked = delivery.model_copy(update={"row": delivery.row.model_copy(update={"job": job})})
    runner(succeed(storage)).run(asked, "tag")
    made = Manifest.model_validate_json(storage.get(keys.manifest(job.id)))
    assert (made.job_id, made.job.video.uri) == (job.id, "https://host/v.mp4")
    assert made.log_key
    for each in storage.list(""):
        assert b"hunter2" not in storage.get(each.key)


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


# --- logs and dead letters


def log_of(storage, key):
    return [json.loads(line) for line in storage.get(key).splitlines()]


def test_a_failure_names_the_logs_of_all_its_attempts_and_is_a_dead_letter(
    runner, settings, storage, ledger, delivery, manifest
):
    work = runner(fail(EngineFailed("the device is gone")))
    for _ in range(settings.attempts):
        work.run(delivery, "tag")
    logs = manifest().logs
    assert len(set(logs)) == settings.attempts and logs[-1] == manifest().log_key
    assert all("the device is gone" in storage.get(each).decode() for each in logs)
    letter = DeadLetter.model_validate_json(storage.get(keys.dead("b1", "clip")))
    assert letter.code == "engine_failed" and letter.attempts == logs


def test_a_success_names_its_log_too(runner, storage, delivery, manifest, caplog):
    caplog.set_level("INFO")
    runner(succeed(storage)).run(delivery, "tag")
    assert manifest().logs == ()
    assert any("attempt 1 begins" in each["message"] for each in log_of(storage, manifest().log_key))
    assert storage.get(keys.dead("b1", "clip")) is None


def test_an_attempt_that_ended_without_a_word_is_noted_by_the_next(
    runner, storage, ledger, delivery, manifest
):
    ledger.claim(delivery.row.job.id, "killed", 0.001)
    time.sleep(0.01)
    runner(succeed(storage)).run(delivery, "tag")
    assert manifest().attempt.number == 2
    assert log_of(storage, manifest().log_key)[0]["message"] == "attempt 1 ended without a word"


def test_a_log_that_the_store_does_not_take_fails_nothing(runner, storage, delivery, manifest, monkeypatch):
    put = storage.put

    def refuse(key, *rest):
        if key.endswith("log.jsonl"):
            raise StoreUnavailable("not now")
        put(key, *rest)

    monkeypatch.setattr(storage, "put", refuse)
    assert runner(succeed(storage)).run(delivery, "tag") == "committed"
    assert (manifest().status, manifest().log_key) == ("succeeded", None)


# --- cancel


def test_a_running_job_that_is_cancelled_stops_and_its_manifest_says_so(
    runner, storage, ledger, delivery, manifest
):
    def cancelled(ticket, progress, findings):
        succeed(storage)(ticket, progress, findings)
        ledger.cancel([ticket.job_id])
        for _ in range(100):
            progress.advance()
            time.sleep(0.05)
        pytest.fail("went on")

    assert runner(cancelled).run(delivery, "tag") == "committed"
    found = manifest()
    assert (found.status, found.error.code, found.output) == ("cancelled", "cancelled", None)
    assert ledger.progress([delivery.row.job.id])[0].state == "cancelled"
    assert list(storage.list("outputs/")) == list(storage.list("dead/")) == []


def test_a_cancelled_job_that_nobody_holds_is_ended_by_the_worker_that_gets_its_message(
    runner, ledger, delivery, manifest
):
    ledger.offer(delivery.row.job.id, lost_after_seconds=30)
    ledger.cancel([delivery.row.job.id])
    assert runner(fail(AssertionError("ran"))).run(delivery, "tag") == "committed"
    assert manifest().status == "cancelled"


def test_a_wish_to_cancel_that_comes_after_the_last_step_wins_before_the_commit_and_not_after(
    runner, storage, ledger, delivery, manifest
):
    def cancelled_late(ticket, progress, findings):
        succeed(storage)(ticket, progress, findings)
        ledger.cancel([ticket.job_id])

    assert runner(cancelled_late).run(delivery, "tag") == "committed"
    assert manifest().status == "cancelled"
    assert runner(succeed(storage)).run(delivery, "tag") == "already committed"
    assert manifest().status == "cancelled"


def test_whatever_a_render_makes_of_being_stopped_the_reason_is_what_counts(
    runner, storage, ledger, delivery, manifest
):
    def confused(ticket, progress, findings):
        ledger.cancel([ticket.job_id])
        try:
            for _ in range(100):
                progress.touch()
                time.sleep(0.05)
        except Cancelled as error:
            raise StoreUnavailable("the transfer broke off") from error

    assert runner(confused).run(delivery, "tag") == "committed"
    assert manifest().status == "cancelled"


# --- stopping


def test_a_worker_that_is_told_to_stop_gives_the_job_at_hand_and_every_later_one_back(
    runner, storage, ledger, delivery, counted
):
    def stopped(ticket, progress, findings):
        work.stop()
        progress.advance()
        pytest.fail("went on")

    work = runner(stopped)
    assert work.run(delivery, "tag") == "released"
    assert work.run(delivery, "tag") == "released"
    assert ledger.urgent([delivery.row.job.id])
    assert counted() == (0, 0, 2)
    assert storage.stat(keys.manifest(delivery.row.job.id)) is None


@pytest.mark.parametrize(("limit_seconds", "expected"), [(60.0, (0, 0, 1)), (0.5, (1, 0, 0))])
def test_a_process_that_is_ended_says_whether_it_was_stopped_or_out_of_time(
    runner, delivery, counted, limit_seconds, expected
):
    limited = delivery.model_copy(
        update={"row": delivery.row.model_copy(update={"time_limit_seconds": limit_seconds})}
    )
    with pytest.raises(SystemExit):
        runner(fail(SystemExit())).run(limited, "tag")
    assert counted() == expected


def test_an_attempt_that_takes_too_long_is_a_failure_of_the_job(runner, delivery, counted):
    def slow(ticket, progress, findings):
        for _ in range(200):
            progress.touch()
            time.sleep(0.02)

    limited = delivery.model_copy(update={"row": delivery.row.model_copy(update={"time_limit_seconds": 0.3})})
    assert runner(slow).run(limited, "tag") == "released"
    assert counted() == (1, 0, 0)


def test_what_is_done_when_the_worker_is_told_to_stop_is_committed(runner, storage, delivery, manifest):
    def stopped_late(ticket, progress, findings):
        succeed(storage)(ticket, progress, findings)
        work.stop()

    work = runner(stopped_late)
    assert work.run(delivery, "tag") == "committed"
    assert manifest().status == "succeeded"


# --- versions


def test_a_message_of_a_newer_version_is_left_to_newer_workers_with_one_line(
    runner, ledger, delivery, caplog
):
    message = delivery.model_dump(mode="json")
    newer = [message | {"schema_version": 2}, message | {"mood": "good"}, {"batch": "b1"}]
    work = runner(fail(AssertionError("ran")))
    for each in newer:
        assert work.receive(each, "tag") == "left to newer workers"
    assert [each.levelname for each in caplog.records] == ["WARNING"] * len(newer)
    assert ledger.progress([delivery.row.job.id]) == [None]


def test_a_job_left_to_newer_workers_is_offered_again_soon(runner, ledger, delivery, monkeypatch):
    monkeypatch.setattr("worker.tasks.LEFT_SECONDS", 0.2)
    job, patience = delivery.row.job.id, {"lost_after_seconds": 60}
    newer = delivery.model_dump(mode="json") | {"schema_version": 2}
    assert ledger.offer(job, **patience) == "publish"
    runner(fail(AssertionError("ran"))).receive(newer, "tag", job)
    assert ledger.offer(job, **patience) == "later", "at once would spin"
    time.sleep(0.25)
    assert [ledger.offer(job, **patience) for _ in range(2)] == ["publish", "out"]


def test_a_job_that_another_holds_or_nobody_offered_is_not_put_off(ledger):
    assert not ledger.put_off("unknown", 60)
    ledger.claim("held", "another", 30)
    assert not ledger.put_off("held", 60)
    assert ledger.progress(["unknown"]) == [None]


def test_a_message_as_the_feeder_sends_it_is_run(runner, storage, delivery, manifest):
    assert runner(succeed(storage)).receive(delivery.model_dump(mode="json"), "tag") == "committed"


def test_a_result_of_a_newer_version_stands(runner, storage, delivery, caplog):
    body = json.dumps({"schema_version": 2, "status": "splendid"}).encode()
    storage.put(keys.manifest(delivery.row.job.id), body)
    assert runner(fail(AssertionError("ran"))).run(delivery, "tag") == "already committed"
    assert storage.get(keys.manifest(delivery.row.job.id)) == body
    assert [each.exc_info for each in caplog.records] == [None]


# --- clocks


def test_a_clock_that_jumps_back_makes_no_attempt_negative(runner, storage, delivery, manifest, monkeypatch):
    class Jumping(datetime):
        jumps = 0

        @classmethod
        def now(cls, zone=None):
            cls.jumps += 1
            return datetime.now(zone) - timedelta(days=cls.jumps)

    monkeypatch.setattr("worker.tasks.datetime", Jumping)
    runner(succeed(storage)).run(delivery, "tag")
    took = (manifest().attempt.ended - manifest().attempt.started).total_seconds()
    assert 0 < took < 10
    assert manifest().cost.seconds == pytest.approx(took, abs=0.01)


# --- services away


class Gone(Ledger):
    """Answers claims, and nothing after."""

    def beat(self, *_, **__):
        raise BrokerUnavailable("away")

    finish = release = beat


def test_redis_being_away_for_a_whole_attempt_does_not_keep_its_result_from_being_committed(
    settings, storage, delivery, manifest
):
    assert JobRunner(settings, storage, Gone(settings), succeed(storage)).run(delivery, "tag") == "committed"
    assert manifest().status == "succeeded"


def test_what_a_job_took_is_noted_when_it_has_ended_and_not_before(runner, settings, storage, delivery):
    assert runner(fail(EngineFailed("a driver"))).run(delivery, "tag") == "released"
    assert Pace(settings).look().jobs == 0
    assert runner(succeed(storage)).run(delivery, "tag") == "committed"
    assert Pace(settings).look().jobs == 1


def test_a_pace_that_cannot_be_noted_changes_nothing_for_the_job(
    settings, storage, ledger, delivery, manifest
):
    away = settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")})
    assert JobRunner(away, storage, ledger, succeed(storage)).run(delivery, "tag") == "committed"
    assert manifest().status == "succeeded"


def test_redis_being_away_when_a_job_is_given_back_leaves_it_to_its_lease(
    settings, storage, delivery, counted
):
    short = settings.model_copy(update={"lease_seconds": 0.2})
    work = JobRunner(short, storage, Gone(settings), fail(EngineFailed("a driver")))
    assert work.run(delivery, "tag") == "released"
    time.sleep(0.2)
    assert counted() == (0, 1, 0)


def away_for(monkeypatch, storage, tries):
    """The store does not take manifests so many times."""
    put, left = storage.put_if_absent, iter(range(tries))

    def put_if_absent(*args):
        if next(left, None) is not None:
            raise StoreUnavailable("503 Slow Down")
        return put(*args)

    monkeypatch.setattr(storage, "put_if_absent", put_if_absent)


def test_the_store_being_away_at_the_commit_is_waited_for_in_place(
    runner, storage, delivery, manifest, monkeypatch
):
    monkeypatch.setattr(retry, "LONGEST_PAUSE_SECONDS", 0.1)
    away_for(monkeypatch, storage, 3)
    assert runner(succeed(storage)).run(delivery, "tag") == "committed"
    assert (manifest().status, manifest().attempt.number) == ("succeeded", 1)


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_the_store_being_away_for_too_long_at_the_commit_gives_the_job_back_uncounted(
    runner, storage, delivery, counted, monkeypatch, ends
):
    monkeypatch.setattr(retry, "IN_PLACE_SECONDS", 0.0)
    away_for(monkeypatch, storage, 1000)
    perform = succeed(storage) if ends == "well" else fail(NoFace("nobody there"))
    assert runner(perform).run(delivery, "tag") == "released"
    assert counted() == (0, 0, 0)


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_a_lease_that_is_lost_while_the_commit_waits_for_the_store_commits_nothing(
    runner, storage, ledger, delivery, monkeypatch, ends
):
    job = delivery.row.job.id

    def put_if_absent(*_):
        ledger.forget(job)
        ledger.claim(job, "another", 30)
        time.sleep(0.5)  # a beat or two
        raise StoreUnavailable("503 Slow Down")

    monkeypatch.setattr(storage, "put_if_absent", put_if_absent)
    perform = succeed(storage) if ends == "well" else fail(NoFace("nobody there"))
    assert runner(perform).run(delivery, "tag") == "lease lost"
    assert storage.get(keys.manifest(job)) is None


def test_a_job_that_became_anothers_after_its_last_step_is_not_committed(runner, storage, ledger, delivery):
    def robbed(ticket, progress, findings):
        succeed(storage)(ticket, progress, findings)
        ledger.forget(ticket.job_id)
        ledger.claim(ticket.job_id, "another", 30)

    assert runner(robbed).run(delivery, "tag") == "lease lost"
    assert storage.get(keys.manifest(delivery.row.job.id)) is None


@pytest.mark.parametrize(
    "harm", [lambda storage, key: storage.delete(key), lambda storage, key: storage.put(key, b"half")]
)
def test_a_video_that_the_store_has_not_whole_is_not_committed(runner, storage, delivery, counted, harm):
    def harmed(ticket, progress, findings):
        succeed(storage)(ticket, progress, findings)
        harm(storage, findings.output.key)

    assert runner(harmed).run(delivery, "tag") == "released"
    assert storage.get(keys.manifest(delivery.row.job.id)) is None
    assert counted() == (0, 0, 0)


def test_a_video_of_other_bytes_than_were_made_is_not_committed(runner, storage, delivery, tmp_path):
    def swapped(ticket, progress, findings):
        succeed(storage)(ticket, progress, findings)
        other = tmp_path / "other"
        other.write_bytes(b"x" * len(VIDEO))
        storage.upload(other, findings.output.key, hashlib.sha256(other.read_bytes()).hexdigest())

    assert runner(swapped).run(delivery, "tag") == "released"
    assert storage.get(keys.manifest(delivery.row.job.id)) is None


def test_memory_that_runs_out_counts_as_a_failure_of_the_job(runner, delivery, counted):
    assert runner(fail(ResourceExhausted("memory"))).run(delivery, "tag") == "released"
    assert counted() == (1, 0, 0)
