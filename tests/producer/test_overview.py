"""Everything at one moment, as data."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from contract import keys
from contract.broker import publish
from contract.job import Delivery
from contract.ledger import Progress
from contract.summary import Summary
from contract.workers import Roster, WorkerRecord
from producer import overview as module
from producer.overview import Overview
from producer.requeue import requeue_rows
from producer.status import BatchStatus, RowStatus, counted


@pytest.fixture
def overview(settings, storage, monkeypatch):
    monkeypatch.setattr(module, "LISTING_SECONDS", 0.0)
    return Overview.of(settings)


@pytest.fixture
def roster(settings):
    return Roster(settings)


def close(storage, batch, **counts):
    of_all = dict(rows=2, succeeded=0, failed=0, cancelled=0, reused=0) | counts
    summary = Summary(batch=batch, **of_all, output_minutes=1.5, cost=0, currency="USD")
    storage.put(keys.summary(batch), summary.model_dump_json().encode())


def test_an_empty_deployment_has_no_batches_no_workers_and_an_empty_queue(overview):
    scene = overview.look()
    assert (scene.batches, scene.workers, scene.queue.depth, scene.live) == ([], [], 0, True)


def test_batches_workers_and_the_queue_are_seen_together(overview, submitted, rows, ledger, roster, app):
    job = rows[0].job.id
    ledger.claim(job, "a1", 60)
    ledger.beat(job, "a1", 60, "tag", Progress("generating", 25, 100, 50.0))
    roster.announce(
        WorkerRecord(name="w@h", host="h", doing="busy", batch=submitted, row="one", job=job, attempt="a1")
    )
    publish(app, Delivery(batch=submitted, row=rows[1]))
    scene = overview.look()
    (batch,) = scene.batches
    assert (batch.batch, batch.rows, batch.counts) == (submitted, 2, {"waiting": 1, "generating": 1})
    assert batch.share == pytest.approx(0.125)
    assert batch.eta_seconds == pytest.approx((75 + 100) / 50)
    assert [(each.name, each.row) for each in scene.workers] == [("w@h", "one")]
    assert (scene.queue.depth, scene.queue.waiting["normal"]) == (1, 1)


def test_between_two_jobs_the_pace_of_before_counts(overview, submitted, rows, ledger):
    one, two = (row.job.id for row in rows)
    ledger.claim(one, "a1", 60)
    ledger.beat(one, "a1", 60, "tag", Progress("generating", 50, 100, 50.0))
    overview.look()
    ledger.finish(one, "done")
    ledger.claim(two, "a2", 60)
    (batch,) = overview.look().batches
    assert batch.eta_seconds == pytest.approx(2.0)
    assert batch.minutes == pytest.approx(100 / 25 / 60)


def test_a_batch_that_ends_is_told_by_its_summary_and_one_that_is_requeued_anew(
    overview, submitted, rows, commit, storage, ledger
):
    assert overview.look().batches[0].counts == {"waiting": 2}
    for row in rows:
        commit(submitted, row, "failed")
        ledger.finish(row.job.id, "failed")
    close(storage, submitted, failed=2)
    (ended,) = overview.look().batches
    assert (ended.counts, ended.ended, ended.minutes, ended.eta_seconds) == ({"failed": 2}, True, 1.5, None)
    requeue_rows(storage, ledger, submitted)
    assert overview.look().batches[0].counts == {"waiting": 2}


def test_what_has_ended_is_not_asked_for_again(overview, submitted, storage, monkeypatch):
    close(storage, submitted, succeeded=2)
    overview.look()
    monkeypatch.setattr(overview._storage, "get", lambda *_: pytest.fail("read again"))
    assert overview.look().batches[0].counts == {"done": 2}


def test_while_redis_is_away_batches_are_as_they_were_known_last(overview, settings, submitted, storage):
    overview.look()
    away = Overview.of(settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")}))
    overview._roster = away._roster
    scene = overview.look()
    assert (scene.live, scene.workers, scene.queue) == (False, [], None)
    assert [each.batch for each in scene.batches] == [submitted]
    assert [each.batch for each in away.look().batches] == [submitted], "also at the first look"


def test_a_script_reads_all_of_it(overview, submitted, roster):
    roster.announce(WorkerRecord(name="w@h", host="h", device="NVIDIA L4", gpu_used_bytes=1, gpu_bytes=2))
    told = json.loads(json.dumps(overview.look().record()))
    assert told["batches"][0]["batch"] == submitted
    assert datetime.fromisoformat(told["batches"][0]["submitted"]) > datetime.now(UTC) - timedelta(hours=1)
    assert (told["workers"][0]["device"], told["workers"][0]["gpu_bytes"]) == ("NVIDIA L4", 2)
    assert told["queue"] == {
        "waiting": {"urgent": 0, "high": 0, "normal": 0, "low": 0},
        "held": 0,
        "oldest_seconds": None,
        "depth": 0,
    }


# --- what is reckoned of a batch


def status(*rows):
    return BatchStatus("nightly", list(rows), live=True)


def row(state, frames=0, total=0, fps=0.0):
    return RowStatus("r", "job", state, frames, total, fps)


@pytest.mark.parametrize(
    ("rows", "minutes"),
    [
        ([], 0.0),
        ([row("done", 1500, 1500), row("done", 3000, 3000), row("waiting")], 3.0),
        ([row("done", 1500, 1500), row("done")], None),
        ([row("failed")], 0.0),
    ],
)
def test_minutes_are_those_of_finished_video_where_all_are_known(rows, minutes):
    assert status(*rows).minutes == minutes


@pytest.mark.parametrize(
    ("rows", "eta"),
    [
        ([row("waiting")], None),  # nobody works, and no length is known
        ([row("generating", 50, 100), row("waiting")], None),  # no pace yet
        ([row("generating", 50, 100, 10.0)], 5.0),
        ([row("generating", 50, 100, 10.0), row("waiting")], 15.0),  # as long as the others
        ([row("generating", 50, 100, 5.0), row("uploading", 100, 100, 5.0)], 5.0),  # two paces add up
        ([row("done", 300, 300), row("generating", 50, 100, 10.0), row("waiting")], 25.0),
        ([row("done", 300, 300)], None),  # it has ended
    ],
)
def test_what_is_left_is_reckoned_from_the_rows_at_work(rows, eta):
    assert counted(status(*rows)).eta_seconds == eta
