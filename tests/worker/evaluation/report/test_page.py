"""The report: whatever a video or a system is called, the page stays a page."""

from datetime import UTC, datetime
from pathlib import Path

from contract.evaluation import Evaluation
from contract.figures import Figure, Sync
from contract.job import JobOptions
from contract.manifest import InputRecord, WarningRecord
from worker.evaluation.compare import Entry, Seen, comparison_of
from worker.evaluation.report import page
from worker.evaluation.report.plots import Line, over_time
from worker.evaluation.report.reels import Reel

EVIL = "<script>alert(1)</script> ${title} $title ' onload='x\" onload=\"x"


def evaluation(name):
    record = InputRecord(uri=name, bytes=1, sha256="a" * 64)
    figure = Figure(
        title="mouth PSNR",
        value=None,
        better="higher",
        status="unavailable",
        reason=f"{name} is not there",
        n=0,
    )
    return Evaluation(
        task="cross audio",
        frames=100,
        sync=Sync(verdict="unknown"),
        metrics={"mouth_psnr": figure},
        versions={"dubline": name},
        seconds=1.0,
        made=datetime.now(UTC),
        source=record,
        generated=record,
        audio=record,
        options=JobOptions(),
        warnings=(WarningRecord(code="short", message=f"{name} ends early"),),
    )


def is_harmless(text):
    return "<script>alert" not in text and "onload='" not in text and 'onload="' not in text


def test_names_of_files_and_warnings_are_words_and_no_markup(monkeypatch):
    monkeypatch.setattr(page, "_reels", lambda *_: [])
    monkeypatch.setattr(page, "_moments", lambda *_: "")
    entry = Entry("", Path("a"), Path("b"), {EVIL: Path("c")}, JobOptions())
    text = page.report_of_evaluation(evaluation(EVIL), entry, lambda *_: None)
    assert is_harmless(text) and "${title} $title" in text
    assert "ends early" in text, "a warning belongs to the figures that it is about"


def test_names_of_systems_and_clips_are_words_and_no_markup():
    names = (EVIL, f"{EVIL} 2")
    seen = Seen(EVIL, {name: evaluation(name) for name in names}, {name: {} for name in names})
    text = page.report_of_comparison(comparison_of([seen], EVIL, 0.0), [], lambda *_: None)
    assert is_harmless(text) and "${title} $title" in text


def test_players_and_curves_carry_names_as_words():
    players = page._players([Reel(EVIL, "data:video/mp4;base64,", {})])
    assert is_harmless(players) and is_harmless(over_time([Line(EVIL, [0.0, None, 1.0], "#000")], EVIL))


def test_of_each_video_only_the_frames_that_are_shown_are_kept(monkeypatch):
    kept = {}
    monkeypatch.setattr(page, "read_audio", lambda *_: None)
    monkeypatch.setattr(page, "reel", lambda name, *parts: kept.update({name: parts[4]}))
    found = {}
    for name, worst in (("one", [3, 30]), ("two", [60])):
        made = evaluation(name)
        figure = made.metrics["mouth_psnr"].model_copy(update={"about": {"worst_frames": worst}})
        found[name] = made.model_copy(update={"metrics": {"mouth_psnr": figure}})
    entry = Entry("", Path("a"), Path("b"), {name: Path(name) for name in found}, JobOptions())
    page._reels(page.Shown("", entry, found), lambda *_: None)
    assert kept == {"source": {3, 30, 60}, "one": {3, 30}, "two": {60}}
