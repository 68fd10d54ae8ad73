import pytest

from contract import keys
from contract.errors import ConfigurationError, NotFound
from contract.ledger import Ledger, Progress
from contract.outputs import publish_output
from contract.settings import Settings
from contract.summary import Summary
from producer import status as module
from producer.overview import Overview
from producer.status import BatchView, RowStatus


@pytest.fixture
def view(storage, ledger, submitted):
    return BatchView(storage, ledger, submitted)


class NoRedis(Ledger):
    """A ledger whose Redis is away."""

    def __init__(self):
        super().__init__(Settings(redis_url="redis://127.0.0.1:1/0"))


def test_a_submitted_row_waits_until_the_ledger_knows_it(view, rows):
    status = view.look()
    assert status.rows == [RowStatus(row.id, row.job.id, "waiting") for row in rows]
    assert (status.counts, status.ended, status.succeeded, status.live) == (
        {"waiting": 2},
        False,
        False,
        True,
    )


def test_what_moves_is_told_by_the_ledger(view, rows, ledger):
    ledger.offer(rows[1].job.id, lost_after_seconds=60)
    ledger.claim(rows[0].job.id, "me", 60)
    ledger.beat(rows[0].job.id, "me", 60, "tag", Progress("generating", 25, 100, 50.0))
    status = view.look()
    assert status.rows[0] == RowStatus("one", rows[0].job.id, "generating", 25, 100, 50.0, 1.5)
    assert status.counts == {"queued": 1, "generating": 1}


def test_what_has_ended_is_told_by_manifests_also_when_the_ledger_was_wiped(view, rows, commit, submitted):
    commit(submitted, rows[0])
    commit(submitted, rows[1], "failed")
    status = view.look()
    assert [(row.state, row.frames, row.total, row.error) for row in status.rows] == [
        ("done", 50, 50, None),
        ("failed", 0, 0, "no_face"),
    ]
    assert (status.ended, status.succeeded) == (True, False)


def test_what_has_ended_is_told_by_manifests_while_redis_is_away(storage, rows, commit, submitted):
    commit(submitted, rows[0])
    status = BatchView(storage, NoRedis(), submitted).look()
    assert (status.counts, status.live) == ({"waiting": 1, "done": 1}, False)


def test_a_failure_that_the_ledger_tells_gets_its_code_from_the_manifest(
    view, rows, commit, submitted, ledger
):
    assert view.look().counts == {"waiting": 2}
    commit(submitted, rows[1], "failed")
    ledger.finish(rows[1].job.id, "failed")
    ledger.finish(rows[0].job.id, "done")
    status = view.look()
    assert [(row.state, row.error) for row in status.rows] == [("done", None), ("failed", "no_face")]
    assert status.ended


def test_a_watched_batch_searches_the_store_now_and_then_only(view, rows, commit, submitted, monkeypatch):
    view.look()
    commit(submitted, rows[0])
    assert view.look().counts == {"waiting": 2}
    monkeypatch.setattr(module, "SEARCH_SECONDS", 0.0)
    view._next_search = 0.0
    assert view.look().counts == {"waiting": 1, "done": 1}


def test_of_a_large_batch_outputs_are_listed_and_no_manifest_is_asked_for(
    view, storage, rows, commit, submitted, monkeypatch
):
    monkeypatch.setattr(module, "MANIFEST_LIMIT", 0)
    publish_output(storage, submitted, "one", commit(submitted, rows[0]))
    commit(submitted, rows[1])  # ended, and not published yet
    monkeypatch.setattr(storage, "get", pytest.fail)
    assert view.look().counts == {"waiting": 1, "done": 1}


def test_the_ledger_is_asked_in_chunks(view, rows, ledger, monkeypatch):
    sizes = []
    asked = ledger.progress
    monkeypatch.setattr(module, "LEDGER_CHUNK", 1)
    monkeypatch.setattr(ledger, "progress", lambda jobs: [sizes.append(len(jobs)), asked(jobs)][1])
    assert view.look().counts == {"waiting": 2}
    assert sizes == [1, 1]


def test_a_batch_that_is_not_there_is_told(storage, ledger):
    with pytest.raises(NotFound, match="there is no batch 'nightly'; `dubline status` lists them"):
        BatchView(storage, ledger, "nightly")


def test_all_batches_are_counted_and_those_that_ended_by_their_summary(storage, settings, submitted):
    summary = Summary(
        batch="ended",
        rows=5,
        succeeded=3,
        failed=2,
        cancelled=0,
        reused=0,
        output_minutes=1,
        cost=1,
        currency="USD",
    )
    storage.put(keys.rows("ended"), b"")
    storage.put(keys.summary("ended"), summary.model_dump_json().encode())
    storage.put(f"{keys.BATCHES}half/other.json", b"{}")
    assert [(each.batch, each.rows, each.counts) for each in Overview.of(settings).look().batches] == [
        (submitted, 2, {"waiting": 2}),
        ("ended", 5, {"done": 3, "failed": 2}),
    ]


def test_a_summary_of_another_version_is_said_to_be_one(storage, settings, submitted):
    storage.put(keys.summary(submitted), b"{}")
    with pytest.raises(ConfigurationError, match=r"summary of batch .* not written by this version"):
        Overview.of(settings).look()


def test_a_row_that_waits_after_a_failure_says_why_and_how_long(view, rows, ledger):
    ledger.claim(rows[0].job.id, "me", 60)
    ledger.release(rows[0].job.id, "me", delay_seconds=60, reason="engine_failed")
    row = view.look().rows[0]
    assert (row.state, row.error, row.attempts) == ("later", "engine_failed", 1)
    assert 50 < row.later_seconds <= 60


def test_a_row_that_failed_before_and_runs_again_counts_it(view, rows, ledger):
    ledger.claim(rows[0].job.id, "me", 60)
    ledger.release(rows[0].job.id, "me", reason="engine_failed")
    ledger.claim(rows[0].job.id, "me", 60)
    row = view.look().rows[0]
    assert (row.state, row.error, row.attempts) == ("staging", None, 1)


def test_a_row_that_is_told_to_stop_is_stopping(view, rows, ledger):
    ledger.claim(rows[0].job.id, "me", 60)
    ledger.cancel([rows[0].job.id])
    assert view.look().counts == {"waiting": 1, "stopping": 1}


def test_a_cancelled_row_has_ended(view, rows, commit, submitted):
    for row in rows:
        commit(submitted, row, "cancelled")
    status = view.look()
    assert (status.counts, status.ended, status.succeeded) == ({"cancelled": 2}, True, False)


def test_a_summary_from_before_a_requeue_is_not_believed(storage, settings, submitted):
    counts = dict(rows=2, succeeded=0, failed=2, cancelled=0, reused=0)
    summary = Summary(batch=submitted, **counts, output_minutes=0, cost=0, currency="USD", requeued="older")
    storage.put(keys.summary(submitted), summary.model_dump_json().encode())
    storage.put(keys.requeued(submitted), b"newer")
    (shown,) = Overview.of(settings).look().batches
    assert shown.counts == {"waiting": 2}
