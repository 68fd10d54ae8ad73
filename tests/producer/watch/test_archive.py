import copy

import pytest

from contract import keys
from contract.errors import BadRequest
from contract.outputs import publish_output
from contract.summary import Summary
from producer.watch.folder import Folder


@pytest.fixture
def render(drop, storage, commit):
    """What a worker does with every row that has no result."""

    def render(status="succeeded", names=None):
        for batch, row in drop.rows():
            if storage.stat(keys.manifest(row.job.id)) is None and (names is None or row.id in names):
                publish_output(storage, batch, row.id, commit(batch, row, status))

    return render


@pytest.fixture
def close(drop, storage):
    """What the feeder does with a batch that has ended."""

    def close(batch, succeeded):
        summary = Summary(
            batch=batch,
            rows=1,
            succeeded=succeeded,
            failed=1 - succeeded,
            cancelled=0,
            reused=0,
            output_minutes=1,
            cost=0,
            currency="USD",
        )
        storage.put(keys.summary(batch), summary.model_dump_json().encode())

    return close


def archived(storage):
    return {each.key for each in storage.list("archive/")}


def test_inputs_are_moved_once_their_video_is_made_and_not_before(drop, storage, render):
    drop.pair("clip01", "clip02")
    drop.put("clip01.json", body="{}")
    watcher = drop.watcher(archive=True)
    assert watcher.scan().archived == 0
    assert watcher.scan().archived == 0
    render(names=["clip01"])
    assert watcher.scan().archived == 3
    (batch,) = drop.batches()
    assert archived(storage) == {f"archive/{batch}/clip01.{kind}" for kind in ("mp4", "wav", "json")}
    assert storage.get(f"archive/{batch}/clip01.mp4") == b"media video clip01"
    assert drop.there() == {"clip02.mp4", "clip02.wav"}
    assert list(storage.list(keys.MOVES)) == []


def test_without_the_option_nothing_is_ever_moved(drop, storage, render):
    drop.pair("clip01")
    watcher = drop.watcher()
    watcher.scan()
    render()
    watcher.scan()
    assert (archived(storage), drop.there()) == (set(), {"clip01.mp4", "clip01.wav"})


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_what_failed_stays_for_a_requeue_reads_it_again(drop, storage, render, status):
    drop.pair("clip01")
    watcher = drop.watcher(archive=True)
    watcher.scan()
    render(status)
    assert watcher.scan().archived == 0
    assert drop.there() == {"clip01.mp4", "clip01.wav"}


def test_what_a_job_of_another_open_batch_is_to_read_stays_until_that_has_ended(drop, storage, render):
    drop.pair("clip01")
    watcher = drop.watcher(archive=True)
    watcher.scan()
    render()
    storage.put("other.wav", b"another voice")
    drop.put(
        "jobs.csv",
        body=f"id,video,audio\nother,s3://{storage.bucket}/drop/clip01.mp4,s3://{storage.bucket}/other.wav\n",
    )
    submitted = drop.watcher()
    submitted.scan()
    storage.delete("drop/jobs.csv")  # clip01 is a pair again, and its batch is open
    assert watcher.scan().archived == 0
    render()
    assert watcher.scan().archived == 2
    assert drop.there() == set()


def test_a_csv_goes_with_its_inputs_once_all_of_it_succeeded(drop, storage, render, close):
    drop.put("v/clip01.mp4", "clip01.wav")
    drop.put("jobs.csv", body="video,audio\nv/clip01.mp4,clip01.wav\n")
    watcher = drop.watcher(archive=True)
    watcher.scan()
    (batch,) = drop.batches()
    render()
    assert watcher.scan().archived == 0
    close(batch, succeeded=0)
    assert watcher.scan().archived == 0
    close(batch, succeeded=1)
    assert watcher.scan().archived == 3
    assert archived(storage) == {
        f"archive/{batch}/{name}" for name in ("v/clip01.mp4", "clip01.wav", "jobs.csv")
    }
    assert watcher.scan().submitted == []


def test_what_was_archived_and_is_dropped_again_is_not_rendered_again(drop, render):
    drop.pair("clip01")
    watcher = drop.watcher(archive=True)
    watcher.scan()
    render()
    watcher.scan()
    drop.pair("clip01")
    assert watcher.scan().archived == 2
    assert (drop.ids(), drop.there()) == (["clip01"], set())


def test_a_folder_that_would_be_its_own_archive_is_refused(drop, storage):
    drop.folder = Folder.parse(f"s3://{storage.bucket}/in/archive/", storage.bucket)
    with pytest.raises(BadRequest, match="would be its own archive"):
        drop.watcher(archive=True)
    drop.watcher()


class Crash(BaseException):
    """kill -9: nothing handles it."""


@pytest.mark.parametrize("method", ["put_if_absent", "copy", "delete_if_same", "delete"])
@pytest.mark.parametrize("after", [1, 2])
def test_a_watcher_that_dies_while_it_moves_leaves_no_half_behind(drop, storage, render, method, after):
    drop.pair("clip01")
    drop.watcher().scan()
    render()
    dying, left = copy.copy(storage), [after]

    def act(*words, **more):
        done = getattr(storage, method)(*words, **more)
        left[0] -= 1
        if left[0] == 0:
            raise Crash
        return done

    setattr(dying, method, act)
    try:
        drop.watcher(dying, archive=True).scan()
    except Crash:
        assert left[0] == 0
    drop.watcher(archive=True).scan()
    (batch,) = drop.batches()
    assert archived(storage) == {f"archive/{batch}/clip01.mp4", f"archive/{batch}/clip01.wav"}
    assert drop.there() == set()
    assert list(storage.list(keys.MOVES)) == []


def test_what_is_replaced_while_it_moves_stays_and_is_a_new_pair(drop, storage, render, monkeypatch):
    drop.pair("clip01")
    watcher = drop.watcher(archive=True)
    watcher.scan()
    render()
    copied = storage.copy

    def copy_and_replace(source, target, **more):
        copied(source, target, **more)
        if source.endswith(".mp4"):
            drop.put("clip01.mp4", body="a new video")

    monkeypatch.setattr(storage, "copy", copy_and_replace)
    watcher.scan()
    assert storage.get("drop/clip01.mp4") == b"a new video"
