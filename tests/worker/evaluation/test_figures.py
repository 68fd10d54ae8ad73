"""From readings to figures."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

from contract.figures import Figure
from contract.job import JobOptions
from contract.manifest import InputRecord, MediaFacts
from worker.evaluation.figures import _figure, _record, _sync, _warnings
from worker.evaluation.metrics.base import Reading
from worker.evaluation.metrics.quantities import AV_OFFSET, LSE_C, SHARPNESS_RATIO
from worker.evaluation.metrics.syncnet import _readings


@pytest.fixture
def judging():
    panel = SimpleNamespace(missing={}, weights=lambda _: ())
    own, clip = SimpleNamespace(is_given=False), SimpleNamespace(touch=lambda: None)
    return SimpleNamespace(panel=panel, own=own, clip=clip)


def figure(judging, quantity, readings, controls=None):
    return _figure(judging, quantity, SimpleNamespace(readings=readings), controls or {})


def test_what_is_no_number_is_no_figure(judging):
    for value in (float("nan"), float("inf")):
        found = figure(judging, SHARPNESS_RATIO, {"sharpness_ratio": Reading(value, 9)})
        assert (found.value, found.status, found.reason) == (
            None,
            "invalid",
            "what was measured is no number",
        )
        assert Figure.model_validate_json(found.model_dump_json()) == found


def test_a_control_tells_also_what_would_not_be_believed_of_a_video(judging):
    distances = 6 + np.random.default_rng(1).normal(size=(200, 31)) / 100
    distances[:, 0] -= 0.05
    shuffled = _readings(distances, {})
    assert shuffled["lse_c"].is_invalid, "silence gives that, and so does shuffled audio"
    true = {
        "lse_c": Reading(7.0, 200, about={"sync_found": True}),
        "av_offset": Reading(0.0, 200, about={"sync_found": True}),
    }
    moves = {
        f"moved_{n}": {"lse_c": Reading(7.0, 200), "av_offset": Reading(-float(n), 200)}
        for n in (-7, -3, 3, 7)
    }
    found = figure(judging, LSE_C, true, {"shuffled": shuffled, **moves})
    assert found.status == "ok" and found.controls["shuffled"] == pytest.approx(0.05, abs=0.01)
    assert figure(judging, AV_OFFSET, true, {"shuffled": shuffled, **moves}).controls["shuffled"] == -15


def test_a_file_whose_name_is_no_text_has_a_record(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    path.write_bytes(b"x")
    record = _record(path, MediaFacts(container="mp4"))
    assert record.uri == "caf?.mp4" and InputRecord.model_validate_json(record.model_dump_json()) == record


def lips(sync_found):
    return Figure(title="", value=0.0, better="higher", status="ok", n=60, about={"sync_found": sync_found})


def test_of_a_clip_that_is_too_short_to_tell_nothing_is_said():
    nothing = Figure(title="", value=None, better="higher", status="unavailable", reason="no weights", n=0)
    none = {"lse_c": nothing, "av_offset": nothing}
    short = _sync({**none, "lip_correlation": lips(None), "lip_lag": lips(None)})
    assert short.verdict == "unknown" and "no weights; the clip is too short" in short.reason
    long = _sync({**none, "lip_correlation": lips(False), "lip_lag": lips(False)})
    assert long.verdict == "no sync found"


@pytest.mark.parametrize(
    ("fps", "sync_mode", "codes"),
    [
        ("25", "bounce", ["short"]),
        ("25", "cut", []),
        (None, "cut", []),
        ("30000/1001", "cut", ["other_rate"]),
    ],
)
def test_a_still_has_no_rate_and_a_video_that_was_to_be_cut_may_be_short(fps, sync_mode, codes):
    facts = MediaFacts(container="mp4", width=320, height=240, fps=fps)
    clip = SimpleNamespace(
        source=None,
        facts_of=lambda _: facts,
        sound=SimpleNamespace(frames=100),
        frames_of=lambda _: 60,
        options=JobOptions(sync_mode=sync_mode),
    )
    video = SimpleNamespace(path=None, facts=facts, frames=60)
    assert [each.code for each in _warnings(SimpleNamespace(clip=clip), video)] == codes
