"""From files in a drop folder to videos under outputs/, on the stack that `dubline up` starts with the setting `drop`."""

import time
import wave
from pathlib import Path

import pytest

from contract import keys
from contract.manifest import Manifest
from contract.settings import Settings
from contract.storage import Storage
from producer.batches import batch_rows
from producer.local import LocalStack

DEMO = Path(__file__).parents[1] / "demo"
DROP = "s3://dubline/drop/"


@pytest.fixture(scope="module")
def stack(programs, weights_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stack")
    settings = Settings(weights=weights_folder, scratch=folder / "scratch", drop=DROP)
    with LocalStack.start(folder, workers=1, flower=False, settings=settings) as running:
        yield running


@pytest.fixture(scope="module")
def store(stack):
    return Storage(stack.settings)


def until(true, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)
    return found


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """A voice of one second."""
    path = tmp_path_factory.mktemp("voice") / "second.wav"
    with wave.open(str(DEMO / "voice-short.wav")) as long, wave.open(str(path), "wb") as short:
        short.setparams(long.getparams())
        short.writeframes(long.readframes(long.getframerate()))
    return path.read_bytes()


def outputs(store):
    """Outputs by the names of their rows."""
    return {
        each.key.rpartition("/")[2]: each.key
        for each in store.list(f"{keys.OUTPUTS}")
        if "/drop-" in each.key
    }


def submissions(store):
    return {each.key for each in store.list(keys.BATCHES) if each.key.endswith("/rows.jsonl")}


def log(stack, name):
    (service,) = [each for each in stack.services if each.name == name]
    return service.log.read_text()


def test_files_that_are_dropped_become_videos(stack, store, second):
    store.put("drop/clip01.MP4", (DEMO / "portrait.mp4").read_bytes())
    store.put("drop/clip01.wav", second)
    store.put("drop/clip01.json", b'{"end": 0.5, "sync_mode": "loop"}')
    store.put("drop/face/still.jpg", (DEMO / "still.jpg").read_bytes())
    store.put("drop/face/voice.wav", second)
    store.put("drop/bad.mp4", b"This is not a video.")
    store.put("drop/bad.wav", second)
    store.put("drop/twice.mp4", b"one")
    store.put("drop/twice.mov", b"other")
    made = until(lambda: outputs(store) if len(outputs(store)) == 4 else None)
    assert set(made) == {"clip01.mp4", "clip01.json", "face.mp4", "face.json"}
    manifest = Manifest.model_validate_json(store.get(made["clip01.json"]))
    assert (manifest.status, manifest.output.frames) == ("succeeded", 25)
    assert (manifest.job.options.sync_mode, manifest.job.options.end) == ("loop", 0.5)
    assert manifest.job.video.uri == f"{DROP}clip01.MP4"
    assert store.stat("drop/clip01.MP4"), "inputs are never moved"
    assert b"2 videos of this name" in store.get("drop/twice.error.json")
    stack.check()


def test_what_is_dropped_is_no_media_fails_as_a_job_like_any_other(stack, store):
    (dead,) = until(lambda: [each.key for each in store.list(keys.DEAD)])
    assert dead.endswith("/bad")
    assert b"not_media" in store.get(dead)


def test_the_store_rings_the_doorbell(stack):
    assert "the doorbell rings" in log(stack, "watch")


def test_a_dropped_csv_becomes_a_batch(stack, store, second):
    store.put("drop/lessons.csv", b"id,video,audio,end\nlesson,clip01.MP4,voices/second.wav,0.4\n")
    until(lambda: store.stat("drop/lessons.error.json"))
    store.put("drop/voices/second.wav", second)
    until(
        lambda: [each for each in store.list(f"{keys.OUTPUTS}lessons-") if each.key.endswith("/lesson.mp4")]
    )
    until(lambda: store.stat("drop/lessons.error.json") is None)


def test_each_pair_was_submitted_once(store):
    batches = {each.key.split("/")[1] for each in store.list(keys.BATCHES)}
    rows = [row.id for batch in batches for row in batch_rows(store, batch)]
    assert sorted(rows) == ["bad", "clip01", "face", "lesson"]


def test_a_watcher_that_ends_is_started_again_and_repeats_nothing(stack, store):
    (watcher,) = [each for each in stack.services if each.name == "watch"]
    before = submissions(store)
    watcher.kill()
    watcher.tend()

    def rings():
        store.put("drop/last.txt", b"a ring that comes before it listens is lost")
        return log(stack, "watch").count("the doorbell rings") == 2

    until(rings)
    time.sleep(2)  # it looks after a second of calm
    assert submissions(store) == before
    stack.check()
