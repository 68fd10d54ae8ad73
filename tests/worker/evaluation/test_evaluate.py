"""Real videos judged as a whole: verdicts, figures and comparisons that must come out right."""

import json
import threading
import wave
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from contract.errors import BadRequest, Cancelled, InputNotFound, NoFace
from contract.job import JobOptions
from contract.settings import Settings
from producer.cli import app
from tests.worker.evaluation.copies import copied, halved, moved_right, with_blurred_mouth
from worker.evaluation.compare import Entry, compare
from worker.evaluation.controls import moved, shuffled
from worker.evaluation.evaluate import Evaluator
from worker.evaluation.figures import evaluation_of, figures_of
from worker.evaluation.metrics.base import Sound
from worker.evaluation.pairs import read_pairs
from worker.faces.track import FaceModels
from worker.media.audio import read_audio
from worker.media.limits import Limits
from worker.progress import JobProgress
from worker.render import render
from worker.setup import set_up
from worker.stopwatch import Stopwatch

DEMO = Path(__file__).parents[3] / "demo"
SOURCE, VOICE = DEMO / "portrait.mp4", DEMO / "voice-short.wav"
FRAMES = 130


def quiet(*_):
    """Nobody looks on."""


def written(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("judged")


@pytest.fixture(scope="module")
def here(weights_folder):
    return Settings(weights=weights_folder, prepared_bytes=0)


@pytest.fixture(scope="module")
def made(here, folder):
    """A preview video of the demo's portrait."""
    render(SOURCE, VOICE, folder / "made.mp4", JobOptions(), set_up(here), JobProgress(), Stopwatch())
    return folder / "made.mp4"


@pytest.fixture(scope="module")
def models(weights_folder):
    return FaceModels.load(weights_folder, 1)


@pytest.fixture(scope="module")
def blurred(made, models, folder):
    return copied(made, folder / "blurred.mp4", FRAMES, with_blurred_mouth(models))


@pytest.fixture(scope="module")
def late(here, sound, folder):
    """The same source, its mouth drawn for an audio that is five frames later."""
    voice = written(folder / "late.wav", moved(sound, 5).samples)
    render(SOURCE, voice, folder / "late.mp4", JobOptions(), set_up(here), JobProgress(), Stopwatch())
    return folder / "late.mp4"


@pytest.fixture(scope="module")
def again(made, folder):
    return copied(made, folder / "again.mp4", FRAMES)


@pytest.fixture(scope="module")
def evaluator(here):
    return Evaluator(here, threads=2)


@pytest.fixture(scope="module")
def sound():
    samples = read_audio(VOICE, Limits()).samples_16k
    return Sound(samples, len(samples) // 640)


def judged(evaluator, source, audio, video, **more):
    judging = evaluator.judge(source, audio, {video.name: video}, JobOptions(), quiet, **more)
    return evaluation_of(judging, judging.videos[0])


# --- verdicts


@pytest.fixture(scope="module")
def own(evaluator, made):
    """A video judged with its audio and all controls."""
    return judged(evaluator, SOURCE, VOICE, made)


def test_a_video_is_in_sync_with_its_own_audio(own):
    assert (own.sync.verdict, own.sync.offset_frames, own.sync.by) == ("in sync", 0, "lip_lag")
    assert own.metrics["lip_correlation"].value > 0.6 and own.task == "cross audio"


@pytest.mark.parametrize(("frames", "verdict"), [(5, "audio late"), (-5, "audio early")])
def test_moved_audio_is_found_where_it_is(evaluator, made, sound, tmp_path, frames, verdict):
    audio = written(tmp_path / "moved.wav", moved(sound, frames).samples)
    found = judged(evaluator, SOURCE, audio, made, has_controls=False)
    assert (found.sync.verdict, found.sync.offset_frames) == (verdict, -frames)


def test_shuffled_audio_is_not_in_sync(evaluator, made, sound, tmp_path):
    audio = written(tmp_path / "shuffled.wav", shuffled(sound).samples)
    assert judged(evaluator, SOURCE, audio, made, has_controls=False).sync.verdict == "no sync found"


def test_controls_stand_beside_the_figures(own):
    lag = own.metrics["lip_lag"].controls
    assert [lag[f"moved_{n}"] for n in (-7, -3, 3, 7)] == [7, 3, -3, -7], "positive: the audio is early"
    assert own.metrics["lip_correlation"].controls["shuffled"] < 0.4
    assert own.metrics["lip_correlation"].controls["do_nothing"] < 0.5
    assert 0.9 < own.metrics["sharpness_ratio"].controls["floor"] < 1.1
    assert "floor" not in own.metrics["lip_lag"].controls, "it hears: `do_nothing` says the same"


def test_outside_the_mouth_only_the_codec_changed_anything(own):
    error = own.metrics["outside_error"]
    assert error.value == pytest.approx(error.controls["floor"], rel=0.1)


def test_what_lacks_its_weights_is_unavailable_with_the_command_that_fetches_them(own):
    for name, wanted in (("lse_c", "lse"), ("fid_mouth", "fid"), ("csim", "csim"), ("lpips_mouth", "lpips")):
        figure = own.metrics[name]
        assert (figure.status, figure.value, figure.ci95, figure.controls) == ("unavailable", None, None, {})
        assert f"run `dubline models fetch {wanted}`" in figure.reason


def test_with_another_audio_the_recorded_mouth_is_no_reference(own):
    for name in ("mouth_psnr", "mouth_ssim", "landmark_distance"):
        assert (
            own.metrics[name].status == "unavailable" and "not the source's own" in own.metrics[name].reason
        )


def test_every_figure_has_its_number_of_frames_and_its_interval(own):
    there = [each for each in own.metrics.values() if each.status == "ok"]
    assert len(there) == 7
    for figure in there:
        assert 0 < figure.n <= own.frames
        assert figure.ci95 is not None and figure.ci95[0] <= figure.ci95[1]


def test_inputs_are_named_by_their_hashes_and_never_by_their_place(own, made):
    assert own.generated.uri == "made.mp4" and len(own.generated.sha256) == 64
    assert str(made.parent) not in own.model_dump_json()


# --- its own audio


@pytest.fixture(scope="module")
def recorded(evaluator, made, blurred):
    """The video as if it were a recording: with its own sound, against a copy with a blurred mouth."""
    return judged(evaluator, made, made, blurred)


def test_with_its_own_audio_the_recorded_mouth_is_the_reference(recorded):
    assert recorded.task == "self audio"
    assert recorded.metrics["mouth_psnr"].value < recorded.metrics["mouth_psnr"].controls["floor"] - 3
    assert recorded.metrics["mouth_ssim"].value < recorded.metrics["mouth_ssim"].controls["floor"]
    assert recorded.metrics["sharpness_ratio"].value < 0.5
    assert recorded.metrics["lip_correlation"].controls["real"] > 0.6


def test_the_recording_itself_is_as_good_as_can_be(evaluator, made):
    found = judged(evaluator, made, made, made, has_controls=False).metrics
    assert found["mouth_psnr"].value == 100 and found["mouth_ssim"].value == 1
    assert found["landmark_distance"].value == 0 and found["outside_error"].value == 0
    assert found["sharpness_ratio"].value == found["flicker_ratio"].value == found["face_coverage"].value == 1


def test_best_and_worst_frames_are_named_a_second_apart(recorded):
    worst = recorded.metrics["mouth_psnr"].about["worst_frames"]
    assert len(worst) == 3 and all(abs(a - b) >= 25 for a in worst for b in worst if a != b)
    assert len(recorded.metrics["mouth_psnr"].about["best_frames"]) == 1
    assert "worst_frames" not in recorded.metrics["lip_correlation"].about, "it is not a frame's"


# --- comparisons


def compared(evaluator, **outputs):
    entry = Entry("clip", SOURCE, VOICE, outputs, JobOptions())
    return compare([entry], next(iter(outputs)), evaluator, quiet)


def winners(comparison):
    return {
        name: each.winner for name, each in comparison.comparison.items() if each.winner != "inconclusive"
    }


def test_a_video_against_itself_is_inconclusive_by_every_figure(evaluator, made):
    found = compared(evaluator, one=made, other=made)
    assert winners(found) == {}
    assert found.scope == "within this clip"
    assert found.comparison["sharpness_ratio"].improvement_pct == 0, "it is far from 1, and no nearer"


def test_a_video_that_was_encoded_again_loses_by_nothing(evaluator, made, again):
    assert winners(compared(evaluator, first=made, again=again)) == {}


def test_a_late_mouth_loses_by_the_lag_alone(evaluator, made, late):
    found = compared(evaluator, good=made, late=late)
    assert winners(found) == {"lip_lag": "good"}
    (versus,) = found.comparison["lip_lag"].versus
    assert (versus.output, versus.baseline, versus.verdict, versus.gain) == ("late", "good", "worse", -5)


def test_a_blurred_mouth_loses_by_the_recorded_mouth_and_not_by_sync(evaluator, made, again, blurred):
    entry = Entry("clip", made, made, {"good": again, "blurred": blurred}, JobOptions())
    found = compare([entry], "good", evaluator, quiet)
    assert {"mouth_psnr", "mouth_ssim", "sharpness_ratio"} <= set(winners(found))
    assert set(winners(found).values()) == {"good"}
    assert not {"lip_lag", "lip_correlation", "outside_error", "face_coverage", "frozen_share"} & set(
        winners(found)
    )
    assert found.comparison["mouth_psnr"].improvement_pct < -5


def test_a_picture_that_was_moved_loses_by_the_error_outside(evaluator, again, made, folder):
    shifted = copied(made, folder / "shifted.mp4", FRAMES, moved_right(4))
    found = compared(evaluator, good=again, shifted=shifted)
    assert found.comparison["outside_error"].winner == "good"
    assert found.comparison["lip_lag"].winner == "inconclusive"


def test_of_three_none_wins_that_is_only_better_than_one(evaluator, again, blurred, made):
    found = compared(evaluator, good=again, blurred=blurred, made=made)
    assert found.comparison["sharpness_ratio"].winner == "inconclusive", "good and made are as sharp"
    assert len(found.comparison["sharpness_ratio"].versus) == 3
    verdicts = {
        (each.output, each.baseline): each.verdict for each in found.comparison["sharpness_ratio"].versus
    }
    assert verdicts == {
        ("blurred", "good"): "worse",
        ("made", "good"): "inconclusive",
        ("blurred", "made"): "worse",
    }


def test_clips_with_their_own_audio_and_with_another_one_are_not_mixed(evaluator, made, again):
    outputs = {"one": made, "other": again}
    entries = [
        Entry("own", made, made, outputs, JobOptions()),
        Entry("cross", SOURCE, VOICE, outputs, JobOptions()),
    ]
    with pytest.raises(BadRequest, match="own: self audio; cross: cross audio"):
        compare(entries, "one", evaluator, quiet)


# --- within a job


def test_it_shows_that_it_goes_on_before_the_first_frame_and_after_the_last_one(evaluator, made):
    when = []
    outputs = {"made": made}
    judging = evaluator.judge(
        SOURCE,
        VOICE,
        outputs,
        JobOptions(),
        lambda *_: when.append("frame"),
        touch=lambda: when.append("sign"),
    )
    assert when[0] == "sign", "the audio is read, and the video's frames are counted"
    when.clear()
    figures_of(judging, judging.videos[0])
    assert len(when) > 1000, "with each control and with each sample that is drawn"


def test_a_job_that_is_cancelled_leaves_no_thread_no_decoder_and_no_file(evaluator, here, made, tmp_path):
    def children():
        return [
            pid for each in Path("/proc/self/task").glob("*/children") for pid in each.read_text().split()
        ]

    def cancelled(doing, done, total):
        if done == 3:
            raise Cancelled("a person cancelled it")

    before = sorted(children()), threading.active_count()
    with pytest.raises(Cancelled):
        Evaluator(here.model_copy(update={"scratch": tmp_path}), threads=1).judge(
            SOURCE, VOICE, {"made": made}, JobOptions(), cancelled
        )
    assert (sorted(children()), threading.active_count()) == before and list(tmp_path.iterdir()) == []


# --- bad input


def test_a_source_without_a_face_is_refused(evaluator, made, folder):
    empty = copied(
        made,
        folder / "empty.mp4",
        60,
        lambda frame: type(frame)(frame.index, frame.source_index, frame.y * 0 + 60, frame.u, frame.v),
    )
    with pytest.raises(NoFace, match=r"none of the 60 frames of empty\.mp4"):
        judged(evaluator, empty, VOICE, empty)


def test_a_video_of_another_size_is_brought_to_the_source_s_and_told(evaluator, made, here, folder):
    found = judged(evaluator, SOURCE, VOICE, halved(made, folder / "half.mp4", 139), has_controls=False)
    assert [each.code for each in found.warnings] == ["other_size"]
    assert found.metrics["lip_correlation"].value > 0.5


def test_a_video_that_ends_early_is_told(evaluator, made, folder):
    short = copied(made, folder / "short.mp4", 100)
    found = judged(evaluator, SOURCE, VOICE, short, has_controls=False)
    assert found.frames == 100 and [each.code for each in found.warnings] == ["short"]


# --- the command line


@pytest.fixture
def cli(weights_folder, monkeypatch):
    monkeypatch.setenv("DUBLINE_WEIGHTS", str(weights_folder))
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_evaluate_prints_the_verdict_and_writes_json_and_a_report(cli, made, tmp_path):
    out, page = tmp_path / "out.json", tmp_path / "report.html"
    done = cli(
        "evaluate", "--source", SOURCE, "--audio", VOICE, "--generated", made, "--json", out, "--html", page
    )
    assert done.exit_code == 0, done.output
    assert "made.mp4: in sync" in done.output and "LSE-C, LSE-D, AV offset: unavailable" in done.output
    assert json.loads(out.read_text())["sync"]["verdict"] == "in sync"
    text = page.read_text()
    assert text.count("data:video/mp4;base64,") == 2 and "data:image/jpeg;base64," in text
    assert "http://" not in text.replace("http://www.w3.org", "") and "https://" not in text, (
        "one file, nothing from elsewhere"
    )


def test_strict_fails_where_a_figure_has_no_value(cli, made):
    words = ("--source", SOURCE, "--audio", VOICE, "--generated", made, "--no-controls", "--strict")
    done = cli("evaluate", *words)
    assert done.exit_code == 1 and "without a value (--strict)" in done.output and "lse_c" in done.output


def test_compare_takes_a_csv_of_many_clips(cli, made, late, tmp_path):
    table = tmp_path / "pairs.csv"
    lines = ["source,audio,good,late", *[f"{SOURCE},{VOICE},{made},{late}"] * 2]
    table.write_text("\n".join(lines))
    done = cli("compare", table, "--json", tmp_path / "out.json")
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["scope"] == "over clips" and [each["id"] for each in found["clips"]] == ["1", "2"]
    lag = found["comparison"]["lip_lag"]
    assert lag["winner"] == "inconclusive" and "6 are needed" in lag["versus"][0]["reason"]
    assert lag["values"] == {"good": 0, "late": 5}, "for a late mouth the audio is early"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("source,audio,one\na,b,c", "at least two systems"),
        ("video,audio,one,two\na,b,c,d", "needs the columns source, audio"),
        ("source,audio,one,two\na,b,c", "line 2: a file for every column"),
        ("source,audio,one,two\na,b,c,d,e", "line 2: a file for every column"),
        ("source,audio,one,two", "no line below its header"),
        ("source,audio,one,two\na,b,c,d", "not there: "),
        ("source,audio,one,two,sync_mode\na,b,c,d,backwards", "line 2: sync_mode"),
        ("source,audio,one,two,face\na,b,c,d,²", "line 2: face"),
        ("source,audio,one,one\na,b,c,d", "several columns of one name: one"),
        ("id,source,audio,one,two\nx,a,b,c,d\nx,e,f,g,h", "several clips of one id: x"),
        ("id,source,audio,one,two\n2,a,b,c,d\n,e,f,g,h", "several clips of one id: 2"),
        (b"source,audio,one,two\na,b,c,\xfcber.mp4", "no CSV in UTF-8"),
        ("", "at least two systems"),
    ],
)
def test_a_table_that_is_none_is_told_with_its_line(tmp_path, text, told):
    table = tmp_path / "pairs.csv"
    table.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises((BadRequest, InputNotFound), match=told):
        read_pairs(table, JobOptions())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("compare",), "name a CSV, or one clip"),
        (("compare", "--source", SOURCE, "--audio", VOICE, "--output", f"one={SOURCE}"), "NAME=FILE"),
        (
            (
                "compare",
                "--source",
                SOURCE,
                "--audio",
                VOICE,
                "--output",
                f"a={SOURCE}",
                "--output",
                f"a={VOICE}",
            ),
            "each name once",
        ),
        (
            (
                "compare",
                "--source",
                SOURCE,
                "--audio",
                VOICE,
                "--output",
                "a=gone.mp4",
                "--output",
                f"b={SOURCE}",
            ),
            "not there: gone.mp4",
        ),
        (
            (
                "compare",
                "--source",
                SOURCE,
                "--audio",
                VOICE,
                "--output",
                f"a={SOURCE}",
                "--output",
                f"b={SOURCE}",
                "--baseline",
                "c",
            ),
            "none of a, b",
        ),
        (
            ("evaluate", "--source", "gone.mp4", "--audio", VOICE, "--generated", SOURCE),
            "gone.mp4 is not a file",
        ),
        (
            (
                "evaluate",
                "--source",
                SOURCE,
                "--audio",
                VOICE,
                "--generated",
                SOURCE,
                "--json",
                "nowhere/out.json",
            ),
            "no folder nowhere",
        ),
        (
            ("evaluate", "--source", SOURCE, "--audio", VOICE, "--generated", SOURCE, "--face", "second"),
            "face",
        ),
    ],
)
def test_what_was_asked_wrongly_is_told_before_anything_is_judged(cli, words, told):
    done = cli(*words)
    assert done.exit_code in (1, 2) and told in done.output.replace("\n", " ")
