"""Everything about one job, as data and as a picture."""

import io
import json

import pytest
from rich.console import Console

from contract import keys
from contract.errors import NotFound
from contract.ledger import Ledger, Progress
from contract.settings import Settings
from producer import show as module
from producer.closeup import job_picture
from producer.requeue import requeue_rows
from producer.show import show


@pytest.fixture
def look(storage, ledger, submitted):
    return lambda row="one": show(storage, ledger, submitted, row)


def drawn(view):
    console = Console(file=io.StringIO(), width=200)
    console.print(job_picture(view))
    return console.file.getvalue()


def log_line(message, level="INFO"):
    return json.dumps({"time": "2026-01-01T10:00:00.000+00:00", "level": level, "message": message}) + "\n"


def test_a_row_that_nobody_has_begun_shows_what_was_asked_for(look, rows, submitted):
    view = look()
    assert (view.id, view.state, view.attempts, view.advice) == (rows[0].job.id, "waiting", (), None)
    text = drawn(view)
    for shown in (f"one of batch {submitted}", "waiting", rows[0].job.id, rows[0].job.video.uri, "preview"):
        assert shown in text


def test_a_row_at_work_shows_its_frames_and_how_often_it_was_tried(look, rows, ledger):
    job = rows[0].job.id
    ledger.claim(job, "a", 60)
    ledger.release(job, "a", reason="engine_failed")
    ledger.claim(job, "b", 60)
    ledger.beat(job, "b", 60, "tag", Progress("generating", 25, 1000, 50.0))
    view = look()
    assert view.state == "generating"
    assert "25 of 1,000, 50 fps" in drawn(view)
    assert "tried once before" in drawn(view)


def test_a_success_that_was_measured_shows_its_verdict_and_figures(look, rows, commit, submitted, figures):
    commit(submitted, rows[0], evaluation=figures)
    text = drawn(look())
    assert "audio late by 5 frames (200 ms)" in text and "error outside the mask 0.951" in text
    assert "LSE-C" not in text, "it has no value; the manifest says why"


def test_a_success_shows_its_result_and_needs_no_advice(look, rows, commit, submitted):
    manifest = commit(submitted, rows[0])
    view = look()
    assert (view.state, view.advice) == ("done", None)
    (attempt,) = view.attempts
    assert (attempt.id, attempt.outcome, attempt.number, attempt.host) == ("a1", "succeeded", 1, "here")
    assert {file.key for file in attempt.files} == {manifest.output.key, manifest.sync_check.curves_key}
    assert "0.0020 USD for 2.0 s" in drawn(view)


def test_attempts_come_in_order_with_the_end_of_their_logs(look, rows, storage, commit, submitted):
    job = rows[0].job.id
    storage.put(keys.log(job, "a0"), (log_line("it begins") + log_line("CUDA error", "ERROR")).encode())
    storage.put(keys.log(job, "a1"), log_line("no face", "WARNING").encode() + b"not of ours\n")
    commit(submitted, rows[0], "failed")
    first, last = look().attempts
    assert (first.outcome, [line.message for line in first.log]) == ("no result", ["it begins", "CUDA error"])
    assert (last.outcome, [line.message for line in last.log]) == ("failed", ["no face", "not of ours"])
    text = drawn(look())
    assert text.index("attempt 1") < text.index("CUDA error") < text.index("no face")


def test_of_a_long_log_the_end_is_read_in_whole_lines(look, rows, storage, monkeypatch):
    monkeypatch.setattr(module, "TAIL_BYTES", 200)
    log = "".join(log_line(f"line {number}") for number in range(100))
    storage.put(keys.log(rows[0].job.id, "a1"), log.encode())
    assert [line.message for line in look().attempts[0].log] == ["line 98", "line 99"]


def test_a_failure_says_what_to_do(look, rows, commit, submitted):
    commit(submitted, rows[0], "failed")
    again = f"`dubline requeue {submitted} one`"
    assert look().advice == (
        f"put right what the message names, then {again}; a corrected file or CSV is submitted anew"
    )
    assert "[no_face] no frame of face.MP4 shows a face" in drawn(look())


def test_a_cancelled_row_says_how_it_would_be_rendered(look, rows, commit, submitted):
    commit(submitted, rows[0], "cancelled")
    assert look().advice == f"`dubline requeue {submitted} one` renders it after all"


def test_a_requeued_row_keeps_what_became_of_it_before(look, rows, commit, submitted, storage, ledger):
    commit(submitted, rows[0], "failed")
    requeue_rows(storage, ledger, submitted, ["one"])
    view = look()
    (attempt,) = view.attempts
    assert (view.state, view.manifest) == ("waiting", None)
    assert (attempt.requeued, attempt.outcome) == (True, "failed")
    assert attempt.error == "[no_face] no frame of face.MP4 shows a face"
    assert "failed, requeued" in drawn(view)


def test_a_job_is_shown_by_its_first_digits(storage, ledger, rows, commit, submitted):
    commit(submitted, rows[0])
    view = show(storage, ledger, rows[0].job.id[:8])
    assert (view.id, view.batch, view.row) == (rows[0].job.id, submitted, "one")


def test_a_batch_without_a_row_is_told(storage, ledger, submitted):
    with pytest.raises(NotFound, match=f"{submitted} is a batch, and no job; name one of its rows, too"):
        show(storage, ledger, submitted[:-3])


def test_while_redis_is_away_what_has_ended_is_shown(storage, rows, commit, submitted):
    commit(submitted, rows[0])
    view = show(storage, Ledger(Settings(redis_url="redis://127.0.0.1:1/0")), submitted, "one")
    assert (view.state, view.live) == ("done", False)
    assert "Redis is away" in drawn(view)


def test_a_script_reads_all_of_it(look, rows, commit, submitted, storage):
    commit(submitted, rows[0], "failed")
    storage.put(keys.segments(rows[0].job.id, "0001"), b"x")
    told = json.loads(json.dumps(look().record()))
    assert (told["state"], told["segments"], told["attempts"][0]["outcome"]) == ("failed", 1, "failed")
    assert told["manifest"]["error"]["code"] == "no_face"
    assert told["request"]["audio"]["uri"] == rows[0].job.audio.uri


def test_words_of_strangers_are_no_markup(look, rows, storage):
    storage.put(keys.log(rows[0].job.id, "a1"), log_line("[red]no[/red] [/] frame").encode())
    assert "[red]no[/red] [/] frame" in drawn(look())
