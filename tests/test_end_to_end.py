"""From a CSV to manifests on the stack that `dubline up` starts: good pairs, bad ones of every kind, a killed worker."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
import wave
import zlib
from pathlib import Path

import pytest

from contract import keys
from contract.ledger import Ledger
from contract.manifest import Manifest
from contract.settings import Settings
from contract.storage import Storage
from contract.summary import Summary
from producer.batches import batch_rows
from producer.local import LocalStack, _environment
from producer.status import BatchView

DEMO = Path(__file__).parents[1] / "demo"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

CSV = """id,video,audio,sync_mode,end
good pair,portrait.mp4,second.wav,bounce,0.5
again,portrait.mp4,second.wav,bounce,0.5
a still äöü,still.jpg,second.wav,cut,
text,text.mp4,second.wav,,
no index,unfinished.mp4,second.wav,,
playlist,playlist.mp4,second.wav,,
script,script.mp4,second.wav,,
bomb,bomb.png,second.wav,,
nobody,wall.png,second.wav,,
sound as video,second.wav,second.wav,,
no sound,portrait.mp4,portrait.mp4,,
click,portrait.mp4,click.wav,,
missing,s3://dubline/nowhere.mp4,second.wav,,
no address,s3://dubline/a/../b.mp4,second.wav,,
empty,s3://dubline/empty.mp4,second.wav,,
"""
REJECTED = {
    "text": "not_media",
    "no index": "not_media",
    "playlist": "format_forbidden",
    "script": "format_forbidden",
    "bomb": "input_too_large",
    "nobody": "no_face",
    "sound as video": "no_video",
    "no sound": "no_audio",
    "click": "audio_too_short",
    "missing": "input_not_found",
    "no address": "input_not_found",
    "empty": "input_empty",
}
SUCCEEDED = ("good pair", "again", "a still äöü")


@pytest.fixture(scope="module")
def stack(programs, weights_folder, tmp_path_factory):
    """The whole stack with one worker, as `dubline up` starts it; a lost job is noticed soon."""
    folder = tmp_path_factory.mktemp("stack")
    settings = Settings(weights=weights_folder, scratch=folder / "scratch", lease_seconds=3, pin_limit=0)
    with LocalStack.start(folder, workers=1, flower=False, settings=settings) as running:
        yield running


@pytest.fixture(scope="module")
def store(stack):
    return Storage(stack.settings)


@pytest.fixture(scope="module")
def dubline(stack):
    """Run a command with `--json` as a script would: its exit code, and what it told."""

    def run(*words):
        command = [sys.executable, "-m", "producer.cli", *map(str, words), "--json"]
        done = subprocess.run(command, env=_environment(stack.settings), capture_output=True, text=True)
        assert "Traceback" not in done.stderr
        return done.returncode, json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def csv(store, tmp_path_factory):
    """The CSV beside its media."""
    folder = tmp_path_factory.mktemp("csv")
    for name in ("portrait.mp4", "still.jpg"):
        (folder / name).write_bytes((DEMO / name).read_bytes())
    shorten(DEMO / "voice-short.wav", folder / "second.wav", seconds=1)
    shorten(DEMO / "voice-short.wav", folder / "click.wav", seconds=0.039)
    shorten(DEMO / "voice-short.wav", folder / "three.wav", seconds=3)
    (folder / "text.mp4").write_text("This is not a video.\n" * 50)
    (folder / "unfinished.mp4").write_bytes((DEMO / "portrait.mp4").read_bytes().replace(b"moov", b"xxxx", 1))
    (folder / "playlist.mp4").write_text("#EXTM3U\n#EXTINF:1,\nportrait.mp4\n#EXT-X-ENDLIST\n")
    (folder / "script.mp4").write_text("ffconcat version 1.0\nfile portrait.mp4\n")
    (folder / "bomb.png").write_bytes(png(30_000, 30_000))
    (folder / "wall.png").write_bytes(png(320, 240))
    store.put("empty.mp4", b"")
    path = folder / "Jobs für heute.csv"
    path.write_text(CSV)
    return path


def shorten(source, target, seconds):
    with wave.open(str(source)) as long, wave.open(str(target), "wb") as short:
        short.setparams(long.getparams())
        short.writeframes(long.readframes(int(seconds * long.getframerate())))


def png(width, height):
    """One bit a pixel, all black."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(height * (1 + (width + 7) // 8))))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def batch(csv, dubline):
    """The name of the batch, after every row of it has ended."""
    code, told = dubline("submit", csv, "--wait")
    assert code == 1, "rows failed, and the exit code says so"
    assert told["counts"] == {"done": len(SUCCEEDED), "failed": len(REJECTED)}
    return told["batch"]


@pytest.fixture(scope="module")
def manifests(store, batch):
    return {row.id: manifest_of(store, row.job.id) for row in batch_rows(store, batch)}


def manifest_of(store, job):
    return Manifest.model_validate_json(store.get(keys.manifest(job)))


def summary_of(store, batch):
    """The feeder writes it a moment after the last row has ended."""
    until(lambda: store.stat(keys.summary(batch)))
    return Summary.model_validate_json(store.get(keys.summary(batch)))


def until(true, seconds=40):
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
    return found


def outputs(store, batch):
    return {each.key for each in store.list(f"{keys.OUTPUTS}{batch}/")}


def jobs(store):
    """All that was ever written about jobs."""
    return {(each.key, each.etag) for each in store.list(keys.JOBS)}


def test_bad_rows_are_rejected_at_the_first_attempt_each_by_its_code(manifests):
    told = {row: each.error.code for row, each in manifests.items() if each.error}
    assert told == REJECTED
    for row in REJECTED:
        assert (manifests[row].status, manifests[row].attempt.number) == ("failed", 1), row
        assert not manifests[row].error.retryable


def test_an_error_is_one_line_without_folders_of_the_worker(manifests):
    for row in REJECTED:
        message = manifests[row].error.message
        assert "\n" not in message and "Traceback" not in message and "/dubline-job-" not in message, message


def test_good_rows_have_their_video_and_say_how_it_was_made(manifests, store):
    for row in SUCCEEDED:
        made = manifests[row]
        assert (made.status, made.output.frames, made.frames.without_face) == ("succeeded", 25, 0), row
        assert len(store.get(made.output.key)) == made.output.bytes
    assert manifests["again"].job_id == manifests["good pair"].job_id


def test_outputs_holds_the_successes_and_nothing_else(batch, manifests, store):
    assert outputs(store, batch) == {
        keys.output(batch, row, suffix) for row in SUCCEEDED for suffix in (".mp4", ".json")
    }


def test_the_summary_counts_what_the_manifests_say(batch, store):
    summary = summary_of(store, batch)
    assert (summary.rows, summary.succeeded, summary.failed) == (15, 3, 12)
    assert summary.reused == 1
    assert summary.cost > 0


def test_results_bring_the_videos_and_a_page_and_say_why_the_others_have_none(batch, dubline, tmp_path):
    code, told = dubline("results", batch, "--to", tmp_path / "out")
    assert code == 0
    assert {Path(row["video"]).name for row in told["rows"] if row["video"]} == {
        f"{r}.mp4" for r in SUCCEEDED
    }
    assert all(
        row["problem"].startswith(f"[{REJECTED[row['row']]}]") for row in told["rows"] if row["problem"]
    )
    assert "good%20pair.mp4" in Path(told["page"]).read_text()


def test_the_same_csv_again_repeats_nothing(batch, csv, dubline, store):
    before = jobs(store)
    code, told = dubline("submit", csv, "--wait")
    assert (code, told["batch"], told["already"], told["uploaded_files"]) == (1, batch, True, 0)
    assert jobs(store) == before


def test_the_same_jobs_in_another_batch_are_not_done_twice(manifests, csv, dubline, store):
    before = jobs(store)
    dubline("submit", csv, "--wait", "--batch", "other")
    summary = summary_of(store, "other")
    assert (summary.rows, summary.reused, summary.cost) == (15, 15, 0)
    assert jobs(store) == before
    assert outputs(store, "other") == {
        keys.output("other", row, suffix) for row in SUCCEEDED for suffix in (".mp4", ".json")
    }


def test_the_same_job_forced_gives_the_same_bytes(manifests, csv, dubline, store):
    first_rows = csv.with_name("forced.csv")
    first_rows.write_text("".join(CSV.splitlines(keepends=True)[:2]))
    code, told = dubline("submit", first_rows, "--wait", "--force")
    forced = manifest_of(store, next(batch_rows(store, told["batch"])).job.id)
    assert code == 0
    assert forced.job_id != manifests["good pair"].job_id
    assert forced.output.sha256 == manifests["good pair"].output.sha256


@LINUX
def test_a_job_whose_worker_is_killed_ends_in_one_manifest_all_the_same(csv, stack, dubline, store):
    path = csv.with_name("killed.csv")
    path.write_text("id,video,audio,end\nkilled,portrait.mp4,three.wav,0.5\n")
    _, told = dubline("submit", path)
    view = BatchView(store, Ledger(stack.settings), told["batch"])
    until(lambda: view.look().rows[0].frames)
    os.kill(job_child(stack), signal.SIGKILL)
    until(lambda: view.look().ended)
    (row,) = batch_rows(store, told["batch"])
    written = [each.key for each in store.list(f"{keys.JOBS}{row.job.id}/")]
    made = manifest_of(store, row.job.id)
    assert (made.status, made.attempt.number, made.output.frames) == ("succeeded", 2, 75)
    assert [key for key in written if key.endswith("manifest.json")] == [keys.manifest(row.job.id)]
    assert all(made.attempt.id in key for key in written if "/attempts/" in key), (
        "the killed one wrote nothing"
    )
    assert (summary_of(store, told["batch"]).succeeded, len(outputs(store, told["batch"]))) == (1, 2)
    stack.check()


def job_child(stack):
    """The process that runs jobs: the worker's child that Celery spawned."""
    (worker,) = [each.pid for each in stack.services if each.name == "worker1"]
    children = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    return next(
        int(child) for child in children if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()
    )
