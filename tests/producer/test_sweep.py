from datetime import UTC, datetime, timedelta

import pytest

from contract import keys
from contract.errors import StoreUnavailable
from contract.job import Job, Row, Source
from producer import feeder as feeder_module
from producer import sweep as sweep_module
from producer.sweep import Sweeper, Swept, sweep

WEEK = timedelta(days=7)


def row(number):
    return Row(
        id=f"row-{number}",
        job=Job(
            video=Source(uri=f"s3://b/{number}.mp4", etag="1"), audio=Source(uri="s3://b/a.wav", etag="2")
        ),
    )


@pytest.fixture
def put(storage):
    """Put files of a job; their keys."""

    def put(job, *names):
        found = [f"jobs/{job}/{name}" for name in names]
        for key in found:
            storage.put(key, b"12345")
        return found

    return put


@pytest.fixture
def there(storage):
    return lambda: {each.key for each in storage.list(keys.JOBS)}


def later(**span):
    """As if the sweep came after such a time."""
    return datetime.now(UTC) + timedelta(**span)


def test_of_an_ended_job_only_what_its_manifest_names_stays(storage, put, there, commit):
    ended = row(1)
    commit("batch", ended)
    needed = there()
    put(
        ended.job.id,
        "attempts/b2/video.mp4",
        "attempts/b2/log.jsonl",
        "segments/0001.mp4",
        "segments/0002.mp4",
    )
    assert sweep(storage, WEEK, now=later(days=8)) == Swept(objects=4, bytes=20)
    assert there() == needed
    assert len(needed) == 3


def test_what_lies_beside_the_result_s_files_stays(storage, put, there, commit):
    commit("batch", row(1))
    log = put(row(1).job.id, "attempts/a1/log.jsonl")
    sweep(storage, WEEK, now=later(days=800))
    assert there().issuperset(log)


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_the_logs_of_all_attempts_at_a_job_that_did_not_succeed_stay(storage, put, there, commit, status):
    commit("batch", row(1), status)
    logs = put(row(1).job.id, "attempts/b2/log.jsonl", "attempts/c3/log.jsonl")
    put(row(1).job.id, "attempts/b2/video.mp4")
    sweep(storage, WEEK, now=later(days=8))
    assert there() == {*logs, keys.manifest(row(1).job.id)}


def test_what_is_younger_stays(storage, put, there, commit):
    commit("batch", row(1))
    put(row(1).job.id, "attempts/b2/video.mp4", "segments/0001.mp4")
    before = there()
    assert sweep(storage, WEEK, now=later(days=6)) == Swept()
    assert there() == before


def test_a_job_without_a_manifest_keeps_everything_for_14_days_whatever_is_asked(storage, put, there):
    put("1" * 64, "attempts/a1/video.mp4", "segments/0001.mp4")
    before = there()
    assert sweep(storage, timedelta(0), now=later(days=13)) == Swept()
    assert there() == before
    assert sweep(storage, timedelta(0), now=later(days=15)).objects == 2
    assert there() == set()


def test_a_job_that_is_committed_while_it_is_swept_keeps_its_video(storage, put, there, commit, monkeypatch):
    unended = row(1)
    put(unended.job.id, "attempts/a1/video.mp4")
    get = storage.get

    def committed_just_before(key):
        monkeypatch.undo()
        commit("batch", unended)
        return get(key)

    monkeypatch.setattr(storage, "get", committed_just_before)
    sweep(storage, WEEK, now=later(days=15))
    assert there().issuperset(
        {keys.manifest(unended.job.id), keys.attempt(unended.job.id, "a1", "video.mp4")}
    )


def test_a_manifest_of_another_version_keeps_what_it_names(storage, put, there):
    job = "2" * 64
    named, _ = put(job, "attempts/a1/film.mkv", "attempts/b2/film.mkv")
    storage.put(keys.manifest(job), f'{{"schema_version": 9, "films": ["{named}"]}}'.encode())
    sweep(storage, WEEK, now=later(days=800))
    assert there() == {named, keys.manifest(job)}


def test_a_dry_run_counts_and_removes_nothing(storage, put, there):
    put("1" * 64, "attempts/a1/video.mp4")
    assert sweep(storage, WEEK, dry_run=True, now=later(days=15)) == Swept(objects=1, bytes=5)
    assert len(there()) == 1


def test_uploads_that_were_never_completed_and_what_a_self_test_left_go_and_others_uploads_stay(storage):
    client = storage._client
    for key in ("jobs/1/attempts/a/video.mp4", "inputs/1.mp4", "theirs/film.mp4"):
        client.create_multipart_upload(Bucket=storage.bucket, Key=key)
    storage.put("selftest/1", b"racer")
    assert sweep(storage, WEEK, now=later(days=6)) == Swept()
    assert sweep(storage, WEEK, now=later(days=8)) == Swept(objects=1, bytes=5, uploads=2)
    assert [each.key for each in storage.list_uploads()] == ["theirs/film.mp4"]


def test_what_arrived_through_the_api_and_was_never_wanted_goes_and_what_a_client_put_itself_stays(storage):
    for key in (keys.arriving("1", ".mp4"), keys.repeat("a", "b"), keys.direct("1", ".mp4")):
        storage.put(key, b"12345")
    assert sweep(storage, WEEK, now=later(days=6)) == Swept()
    assert sweep(storage, WEEK, now=later(days=8)) == Swept(objects=2, bytes=10)
    assert [each.key for each in storage.list("")] == [keys.direct("1", ".mp4")]


def test_inputs_outputs_and_batches_are_never_swept(storage):
    kept = ["batches/b/rows.jsonl", "dead/b/row", "inputs/1.mp4", "outputs/b/row.mp4", "prepared/e/0"]
    for key in kept:
        storage.put(key, b"")
    sweep(storage, WEEK, now=later(days=8000))
    assert [each.key for each in storage.list("")] == kept


def test_a_feeder_s_sweep_goes_on_where_it_stopped_and_begins_anew_at_the_end(
    storage, put, there, monkeypatch
):
    monkeypatch.setattr(sweep_module, "SLICE_JOBS", 2)
    monkeypatch.setattr(sweep_module, "UNENDED_AGE", timedelta(0))
    for number in range(1, 6):
        put(f"{number}" * 64, "attempts/a1/video.mp4")
    sweeper = Sweeper(storage, timedelta(seconds=-60))
    sweeper._after = keys.JOBS + "4"
    left = [len(there()) for _ in range(4) if sweeper.sweep_some()]
    assert left == [3, 3, 1, 0]


def test_a_feeder_sweeps_once_an_hour_beside_its_feeding(storage, settings, ledger, app, monkeypatch, caplog):
    swept = []

    class Counting:
        def __init__(self, *_):
            pass

        def sweep_some(self):
            swept.append(1)
            raise StoreUnavailable("the store is away")

    monkeypatch.setattr(feeder_module, "Sweeper", Counting)
    feeder = feeder_module.Feeder(storage, ledger, app, settings)
    for _ in range(3):
        feeder.step()
    assert swept == []
    feeder._sweep_at = 0.0
    for _ in range(3):
        feeder.step()
    feeder._threads.shutdown()
    assert swept == [1]
    assert "the sweep is put off: the store is away" in caplog.text


def test_a_feeder_that_shall_not_sweep_does_not(storage, settings, ledger, app):
    feeder = feeder_module.Feeder(storage, ledger, app, settings.model_copy(update={"sweep_days": 0.0}))
    feeder._sweep_at = 0.0
    feeder.step()
    assert feeder._sweeper is None
