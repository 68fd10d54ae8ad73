"""The commands that the worker adds to `dubline`."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contract.settings import Settings
from producer.cli import app
from worker.cli import checks
from worker.media.proof import Proof

DEMO = Path(__file__).parents[2] / "demo"


@pytest.fixture
def dubline(weights_folder, monkeypatch):
    monkeypatch.setenv("DUBLINE_WEIGHTS", str(weights_folder))
    return lambda *arguments: CliRunner().invoke(app, [str(each) for each in arguments])


def test_render_makes_one_video_and_says_what_it_measured(dubline, tmp_path):
    output = tmp_path / "new folder" / "out.mp4"
    done = dubline("render", DEMO / "portrait.mp4", DEMO / "voice-short.wav", "-o", output, "--json")
    assert done.exit_code == 0, done.output
    measured = json.loads(done.stdout)
    frames = {"total": 139, "with_face": 139, "without_face": 0, "prepared": 139, "reused": 0, "resumed": 0}
    assert measured["frames"] == frames
    assert measured["bytes"] == output.stat().st_size
    assert list(output.parent.iterdir()) == [output]


def test_render_of_what_is_not_media_says_so_and_leaves_nothing(dubline, tmp_path):
    text = tmp_path / "video.mp4"
    text.write_text("not a video")
    output = tmp_path / "out" / "out.mp4"
    done = dubline("render", text, DEMO / "voice-short.wav", "-o", output)
    assert done.exit_code == 2
    assert "not_media" in done.stderr
    assert list(output.parent.iterdir()) == []


def test_render_to_where_nothing_can_be_written_says_so_and_leaves_nothing(dubline, tmp_path):
    (tmp_path / "file").touch()
    pair = DEMO / "still.jpg", DEMO / "voice-short.wav"
    for output in (tmp_path, tmp_path / "file" / "out.mp4"):
        done = dubline("render", *pair, "-o", output)
        assert done.exit_code == 1
        assert "error [configuration]" in done.stderr
        assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_render_without_the_worker_installed_says_what_to_install(dubline, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "worker.alone", None)  # importing it fails as without its libraries
    done = dubline("render", DEMO / "portrait.mp4", DEMO / "voice-short.wav", "-o", tmp_path / "out.mp4")
    assert done.exit_code == 1
    assert "pip install 'dubline[worker]'" in done.stderr and "Traceback" not in done.stderr


def test_render_refuses_options_that_make_no_sense_in_one_line(dubline, tmp_path):
    pair = (DEMO / "portrait.mp4", DEMO / "voice-short.wav", "-o", tmp_path / "out.mp4")
    for options in (("--face", "prettiest"), ("--start", "3", "--end", "2"), ("--extra-margin", "999")):
        done = dubline("render", *pair, *options)
        assert done.exit_code == 2
        assert "bad_request" in done.stderr
        assert "Value error" not in done.stderr
        assert "Traceback" not in done.stderr


def test_models_are_listed_and_verified(dubline):
    assert "Apache-2.0" in dubline("models", "list").stdout
    assert dubline("models", "verify").exit_code == 0


def test_missing_weights_name_the_command_that_fetches_them(dubline, tmp_path, monkeypatch):
    monkeypatch.setenv("DUBLINE_WEIGHTS", str(tmp_path))
    done = dubline("models", "verify")
    assert done.exit_code == 1
    assert "dubline models fetch" in done.stderr


def test_the_doctor_finds_codecs_and_weights_here(weights_folder, tmp_path):
    found = {check.name: check for check in checks(Settings(weights=weights_folder))}
    assert found["codecs"].ok and found["weights"].ok
    assert found["encoder"].ok and found["encoder"].detail.startswith(("x264: ", "nvenc: "))
    missing = {check.name: check for check in checks(Settings(weights=tmp_path))}
    assert missing["weights"].ok is False
    assert missing["weights"].remedy == "dubline models fetch"


def test_the_doctor_says_what_is_wrong_with_nvenc(monkeypatch):
    monkeypatch.setattr("worker.media.chosen.prove", lambda _: Proof(fault="Cannot load libcuda.so.1"))
    found = {check.name: check for check in checks(Settings(encoder="nvenc"))}["encoder"]
    assert found.ok is False and "Cannot load libcuda.so.1" in found.detail
    assert found.remedy == "DUBLINE_ENCODER=auto"
    monkeypatch.setattr("worker.media.chosen._has_gpu", lambda: True)
    found = {check.name: check for check in checks(Settings())}["encoder"]
    assert found.ok and found.detail == "x264: NVENC does not work here: Cannot load libcuda.so.1"
