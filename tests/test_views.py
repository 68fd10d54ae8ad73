"""What a person sees of a real worker that renders: on the screen of everything, of its batch, and in its job's log."""

import io
import json
import time
from pathlib import Path

import pytest
from pydantic import SecretStr
from rich.console import Console
from typer.testing import CliRunner

from contract.settings import Settings
from contract.workers import Roster
from producer.cli import app as commands
from producer.local import LocalStack
from producer.overview import Overview
from producer.panorama import panorama

DEMO = Path(__file__).parents[1] / "demo"


@pytest.fixture(scope="module")
def stack(programs, weights_folder, tmp_path_factory):
    """The whole stack with one worker, as `dubline up` starts it."""
    folder = tmp_path_factory.mktemp("stack")
    settings = Settings(weights=weights_folder, scratch=folder / "scratch", prepared=folder / "prepared")
    with LocalStack.start(folder, workers=1, flower=False, settings=settings) as running:
        yield running


@pytest.fixture
def dubline(stack, monkeypatch):
    for name in ("redis_url", "s3_endpoint", "s3_bucket", "s3_access_key", "s3_secret_key"):
        value = getattr(stack.settings, name)
        monkeypatch.setenv(
            f"DUBLINE_{name.upper()}", value.get_secret_value() if isinstance(value, SecretStr) else value
        )
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: CliRunner().invoke(commands, [str(word) for word in words])


def until(look, seconds=120):
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, "it was not seen"
        time.sleep(0.1)
    return seen


def drawn(scene, width):
    console = Console(file=io.StringIO(), width=width)
    console.print(panorama(scene, width, 24))
    return console.file.getvalue()


def test_a_worker_that_renders_is_seen_with_its_job_its_pace_and_what_it_logs(stack, dubline, tmp_path):
    roster, overview = Roster(stack.settings), Overview.of(stack.settings)
    assert until(lambda: [each.doing for each in roster.workers()]) == ["idle"]
    csv = tmp_path / "jobs.csv"
    csv.write_text(f"id,video,audio\nclip,{DEMO / 'portrait.mp4'},{DEMO / 'voice-still.flac'}\n")
    assert dubline("submit", csv, "--batch", "nightly").exit_code == 0

    def at_work():
        scene = overview.look()
        paced = any(each.fps for each in scene.workers) and any(each.eta_seconds for each in scene.batches)
        return scene if paced else None

    scene = until(at_work)
    (worker,) = scene.workers
    assert (worker.doing, worker.row, worker.batch) == ("busy", "clip", "nightly")
    assert worker.name.startswith("worker1@") and worker.device.startswith("cpu ")
    assert 0 < worker.frames <= worker.total
    assert scene.queue.held == 1
    (batch,) = scene.batches
    assert batch.counts == {"generating": 1} and 0 < batch.share < 1
    for width in (80, 200):
        text = drawn(scene, width)
        assert "clip of nightly" in text and " fps" in text and "busy" in text

    told = json.loads(dubline("status", "nightly", "--json").stdout)
    assert [(each["row"], each["job"]) for each in told["workers"]] == [("clip", told["rows"][0]["job"])]
    shown = dubline("logs", worker.job[:10], "--follow", "--json")
    assert shown.exit_code == 0
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert lines[0]["message"] == "attempt 1 begins"
    assert {line["place"] for line in lines} == {1}
    ended = dubline("logs", "nightly", "clip").stdout
    assert ended.startswith("attempt 1  succeeded")
    until(lambda: [each.doing for each in roster.workers()] == ["idle"])


def test_a_worker_that_stops_leaves_the_roster_at_once(stack):
    roster = Roster(stack.settings)
    until(roster.workers)
    worker = stack.services[-1]
    worker.ask()
    until(lambda: not roster.workers(), seconds=30)
    worker.end()
    assert roster.workers() == []
