"""Rows that failed or were cancelled are rendered after all."""

import pytest

from contract import keys
from contract.cancel import CancelRequest
from contract.errors import NotFound
from contract.outputs import publish_output
from contract.summary import Summary
from producer import requeue as module
from producer.cancel import cancel_rows, wish
from producer.feeder import Feeder
from producer.overview import Overview
from producer.requeue import requeue_rows


@pytest.fixture
def ended(storage, ledger, submitted, rows, commit):
    """One row failed and the other was cancelled; the batch is closed."""
    for row, status in zip(rows, ("failed", "cancelled"), strict=True):
        publish_output(storage, submitted, row.id, commit(submitted, row, status))
        ledger.finish(row.job.id, status)
    counts = dict(rows=2, succeeded=0, failed=1, cancelled=1, reused=0)
    summary = Summary(batch=submitted, **counts, output_minutes=0, cost=0, currency="USD")
    storage.put(keys.summary(submitted), summary.model_dump_json().encode())
    return submitted


def present(storage, prefix):
    return {each.key for each in storage.list(prefix)}


def test_a_requeued_row_has_no_result_any_more_and_its_history_keeps_it(storage, ledger, ended, rows):
    before = storage.get(keys.manifest(rows[0].job.id))
    done = requeue_rows(storage, ledger, ended, ["one"])
    assert done.requeued == ["one"]
    assert storage.get(keys.manifest(rows[0].job.id)) is None
    assert storage.get(keys.attempt(rows[0].job.id, "a1", "manifest.json")) == before
    assert storage.get(keys.manifest(rows[1].job.id)) is not None
    assert present(storage, keys.dead(ended)) == set()
    assert ledger.offer(rows[0].job.id, lost_after_seconds=60) == "publish"


def test_feeders_are_told_to_begin_the_batch_again_each_time(storage, ledger, ended):
    requeue_rows(storage, ledger, ended, ["one"])
    assert storage.get(keys.summary(ended)) is None
    first = storage.stat(keys.requeued(ended)).etag
    requeue_rows(storage, ledger, ended, ["two"])
    assert storage.stat(keys.requeued(ended)).etag != first


def test_without_names_all_that_failed_or_was_cancelled_is_requeued(storage, ledger, ended, rows):
    assert requeue_rows(storage, ledger, ended).requeued == ["one", "two"]
    assert [storage.get(keys.manifest(row.job.id)) for row in rows] == [None, None]


@pytest.mark.parametrize(("code", "names"), [("no_face", ["one"]), ("cancelled", ["two"]), ("no_audio", [])])
def test_a_code_chooses_rows(storage, ledger, ended, code, names):
    assert requeue_rows(storage, ledger, ended, code=code).requeued == names


def test_a_success_is_never_moved_aside(storage, ledger, submitted, rows, commit):
    commit(submitted, rows[0])
    done = requeue_rows(storage, ledger, submitted, ["one"])
    assert (done.requeued, done.succeeded) == ([], 1)
    publish_output(storage, submitted, "one", commit(submitted, rows[0]))
    done = requeue_rows(storage, ledger, submitted)
    assert (done.requeued, done.unended) == ([], 1)
    assert storage.get(keys.manifest(rows[0].job.id)) is not None


def test_a_row_that_succeeded_in_that_moment_keeps_its_success(
    storage, ledger, ended, rows, commit, monkeypatch
):
    delete = storage.delete_if_same

    def late(key, etag):  # another person requeued it, and a worker was fast
        if key == keys.manifest(rows[0].job.id):
            storage.delete(key)
            commit(ended, rows[0], attempt="a2")
        return delete(key, etag)

    monkeypatch.setattr(storage, "delete_if_same", late)
    requeue_rows(storage, ledger, ended, ["one"])
    assert b'"succeeded"' in storage.get(keys.manifest(rows[0].job.id))


def test_requeueing_takes_a_wish_to_cancel_back(storage, ledger, ended):
    wish(storage, ended, None)
    assert requeue_rows(storage, ledger, ended, ["two"]).wanted_again
    left = CancelRequest.model_validate_json(storage.get(keys.cancelled(ended)))
    assert left.rows == ("one",)
    assert requeue_rows(storage, ledger, ended).wanted_again
    assert storage.get(keys.cancelled(ended)) is None
    assert not requeue_rows(storage, ledger, ended).wanted_again


def test_a_row_that_was_cancelled_and_has_not_ended_is_free_again(storage, ledger, submitted, rows):
    ledger.offer(rows[0].job.id, lost_after_seconds=60)
    cancel_rows(storage, ledger, submitted, ["one"])
    assert ledger.claim(rows[0].job.id, "me", 60).outcome == "cancelled"
    done = requeue_rows(storage, ledger, submitted, ["one"])
    assert (done.requeued, done.unended, done.wanted_again) == ([], 1, True)
    assert ledger.claim(rows[0].job.id, "me", 60).outcome == "claimed"


def test_a_row_that_waits_after_a_failure_keeps_its_counters(storage, ledger, submitted, rows):
    ledger.claim(rows[0].job.id, "me", 60)
    ledger.release(rows[0].job.id, "me")
    requeue_rows(storage, ledger, submitted)
    assert ledger.claim(rows[0].job.id, "me", 60).attempts == 1


STEPS = ("put", "delete_if_same", "delete")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_whatever_dies_in_between_doing_it_again_completes_it(
    storage, ledger, ended, rows, monkeypatch, step, after
):
    real = getattr(storage, step)

    def dies(*args):
        if after:
            real(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(storage, step, dies)
    monkeypatch.setattr(module, "THREADS", 1)
    with pytest.raises(KeyboardInterrupt):
        requeue_rows(storage, ledger, ended)
    monkeypatch.undo()
    requeue_rows(storage, ledger, ended)
    assert [storage.get(keys.manifest(row.job.id)) for row in rows] == [None, None]
    assert storage.get(keys.requeued(ended)) is not None
    assert storage.get(keys.summary(ended)) is None
    assert {keys.attempt(row.job.id, "a1", "manifest.json") for row in rows} <= present(storage, keys.JOBS)


def test_a_row_that_is_not_there_requeues_nothing(storage, ledger, ended, rows):
    with pytest.raises(NotFound, match="there is no row 'three'"):
        requeue_rows(storage, ledger, ended, ["one", "three"])
    assert storage.get(keys.manifest(rows[0].job.id)) is not None


def test_a_feeder_that_dies_after_closing_a_batch_over_requeued_rows_does_not_lose_them(
    storage, ledger, ended, rows, app, settings
):
    closed = storage.get(keys.summary(ended))
    requeue_rows(storage, ledger, ended)
    storage.put(keys.summary(ended), closed)  # by one that had counted them, and died
    feeder = Feeder(storage, ledger, app, settings)
    feeder.step()
    assert storage.get(keys.summary(ended)) is None
    assert [ledger.offer(row.job.id, lost_after_seconds=60) for row in rows] == ["out", "out"]


def test_a_batch_that_was_requeued_and_has_ended_again_stays_closed(
    storage, ledger, ended, rows, commit, app, settings
):
    requeue_rows(storage, ledger, ended)
    for row in rows:
        commit(ended, row, attempt="a2")
    feeder = Feeder(storage, ledger, app, settings)
    feeder.step()
    summary = storage.get(keys.summary(ended))
    assert Summary.model_validate_json(summary).succeeded == 2
    Feeder(storage, ledger, app, settings).step()
    assert storage.get(keys.summary(ended)) == summary
    assert [each.counts for each in Overview.of(settings).look().batches] == [{"done": 2}]
