import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from producer.local import _environment, _free_ports


@pytest.fixture
def told(dubline, here):
    def told(*words):
        done = dubline(*words, "--json")
        return done.exit_code, json.loads(done.stdout.splitlines()[-1])

    return told


def test_one_look_tells_what_it_saw_and_did(drop, told):
    drop.pair("clip01")
    drop.put("half.mp4")
    code, record = told("watch", drop.folder.address(), "--once")
    assert (code, record["objects"], record["pairs"], record["refused"]) == (0, 3, 1, [])
    assert [each["rows"] for each in record["submitted"]] == [1]
    assert [(each["name"], each["needs"]) for each in record["singles"]] == [("half", "audio")]


def test_one_look_says_by_its_exit_code_that_something_was_refused(drop, told, dubline):
    drop.put("clip01.mp4", "clip01.mov")
    code, record = told("watch", drop.folder.address(), "--once")
    assert code == 1
    assert record["refused"][0]["name"] == "clip01"
    shown = dubline("watch", drop.folder.address(), "--once")
    assert "refused clip01: there are 2 videos of this name" in shown.stdout


def test_the_folder_may_be_a_setting(drop, told, monkeypatch):
    drop.pair("clip01")
    monkeypatch.setenv("DUBLINE_DROP", drop.folder.address())
    assert told("watch", "--once")[1]["pairs"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "there is no folder to watch; name one, s3://bucket/folder/, or set DUBLINE_DROP"),
        (["drop/"], "is no drop folder"),
        (["s3://bucket/drop/", "--interval", "0"], "--interval is 0; it must be more than 0 seconds"),
        (["s3://bucket/drop/", "--interval", "nan"], "--interval is nan"),
    ],
)
def test_what_cannot_be_watched_is_said(told, words, said):
    code, record = told("watch", "--once", *words)
    assert (code, record["error"]["code"]) == (2, "bad_request")
    assert said in record["error"]["message"]


def test_status_shows_singles_where_a_drop_folder_is_set_and_else_nothing(drop, told, dubline, monkeypatch):
    drop.put("half.mp4", "named.wav")
    drop.put("jobs.csv", body="video,audio\nnamed.mp4,named.wav\n")
    code, record = told("status")
    assert code == 0 and "drop" not in record
    assert "half" not in dubline("status").stdout
    monkeypatch.setenv("DUBLINE_DROP", drop.folder.address())
    _, record = told("status")
    assert [each["name"] for each in record["drop"]["singles"]] == ["half"]
    assert "half: has video, needs audio, for 0:" in dubline("status").stdout
    drop.put("half.wav")
    assert "nothing waits for its partner" in dubline("status").stdout


def until(true, seconds=30):
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda each: each.name)
def test_the_watcher_looks_on_and_a_signal_ends_it_in_order(drop, settings, number, tmp_path):
    drop.pair("clip01")
    command = [
        sys.executable,
        "-m",
        "producer.cli",
        "watch",
        drop.folder.address(),
        "--interval",
        "0.2",
        "--json",
    ]
    environment = {**_environment(settings), "PYTHONPATH": str(Path(__file__).parents[3])}
    with (tmp_path / "log").open("wb") as log:
        child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        first = json.loads(child.stdout.readline())  # once it has settled
        drop.pair("clip02")
        second = json.loads(child.stdout.readline())
        assert [each["rows"] for each in first["submitted"] + second["submitted"]] == [1, 1]
        began = time.monotonic()
        os.kill(child.pid, number)
        assert child.wait(10) == 0
        assert time.monotonic() - began < 5
    finally:
        child.kill()
        child.communicate()
    assert drop.ids() == ["clip01", "clip02"]
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_watcher_serves_what_it_saw(drop, settings):
    (port,) = _free_ports(1)
    drop.pair("clip01")
    drop.put("half.mp4")
    words = [sys.executable, "-m", "producer.cli", "watch", drop.folder.address()]
    environment = _environment(settings.model_copy(update={"metrics_port": port}))
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while "rows submitted" not in (line := process.stderr.readline()):
            assert line
        deadline = time.monotonic() + 30
        while "dubline_drop_rows_total 1.0" not in (text := read(port)):
            assert time.monotonic() < deadline
        process.terminate()
        assert process.wait(20) == 0
    assert "dubline_drop_objects 3.0" in text and "dubline_drop_singles 1.0" in text


def read(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return answer.read().decode()
