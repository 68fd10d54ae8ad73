"""`dubline fleet` on a real engine: containers of real workers, which do what the ids of rows say."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from contract.broker import publish
from contract.workers import Roster
from tests.worker.scripted import delivery, manifest_of, until

ROOT = Path(__file__).parents[3]
MOUNTED = {"/usr", "/lib", "/lib64", "/bin", sys.prefix, sys.base_prefix, str(ROOT)}
WORKER = ("-m", "celery", "-A", "tests.worker.scripted_worker", "worker", "-n", "worker@%h")


@pytest.fixture
def dubline_fleet(host, image, here, tmp_path):
    """Start the command; in the block it runs. What it said lies in `NAME.jsonl` and `NAME.log`."""
    name = image(sys.executable, *WORKER, PYTHONPATH=ROOT, STARTED="/scratch")
    volumes = [
        word for each in sorted(MOUNTED) if Path(each).exists() for word in ("--volume", f"{each}:{each}:ro")
    ]
    common = ["--image", name, "--name", host._fleet, "--network", "host", *volumes, "--json"]

    @contextmanager
    def start(said, *words):
        with (tmp_path / f"{said}.jsonl").open("w") as out, (tmp_path / f"{said}.log").open("w") as err:
            argv = [sys.executable, "-m", "producer.cli", "fleet", *common, *words]
            process = subprocess.Popen(argv, cwd=ROOT, stdout=out, stderr=err)
            try:
                yield process
            finally:
                process.kill()
                process.wait()

    return start


def changes(tmp_path, name):
    lines = [json.loads(each) for each in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
    return [each["change"] for each in lines if "change" in each]


def test_workers_come_with_jobs_go_when_idle_and_no_job_is_lost_on_the_way(
    dubline_fleet, host, app, storage, settings, tmp_path
):
    first = [delivery("moving-3.1"), delivery("moving-3.2")]
    last, roster = delivery("moving-8"), Roster(settings)
    for each in first:
        publish(app, each)
    hasty = ("--gpus", "0", "--per-host", "2", "--within", "1s", "--idle", "4s")
    with dubline_fleet("first", *hasty) as running:
        for each in first:
            until(lambda each=each: manifest_of(storage, each.row))
        until(lambda: host.look().containers == ())
        assert changes(tmp_path, "first") == ["started", "started", *changes(tmp_path, "first")[2:]]
        assert sorted(changes(tmp_path, "first")) == sorted(["started", "draining", "stopped"] * 2)
        publish(app, last)
        until(lambda: "busy" in [each.doing for each in roster.workers()])
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 0
    assert "the workers go on" in (tmp_path / "first.log").read_text()
    assert len(host.look().containers) == 1
    with dubline_fleet("second", "--max", "0") as draining:
        assert draining.wait(90) == 0
    assert changes(tmp_path, "second") == ["draining", "stopped"]
    assert host.look().containers == ()
    for each in (*first, last):
        made = manifest_of(storage, each.row)
        assert (made.status, made.attempt.number) == ("succeeded", 1)


def test_a_fleet_that_is_told_to_drain_goes_after_its_workers(
    dubline_fleet, host, app, storage, settings, tmp_path
):
    moving = delivery("moving-6")
    publish(app, moving)
    with dubline_fleet("drained", "--gpus", "0", "--drain") as running:
        until(lambda: "busy" in [each.doing for each in Roster(settings).workers()])
        os.kill(running.pid, signal.SIGTERM)
        assert running.wait(90) == 0
    assert changes(tmp_path, "drained") == ["started", "draining", "stopped"]
    assert manifest_of(storage, moving.row).attempt.number == 1
    assert host.look().containers == ()


def test_a_worker_that_dies_at_once_is_said_as_a_crash_loop_with_its_last_words(
    dubline_fleet, host, image, app, tmp_path
):
    publish(app, delivery("moving-0"))
    broken = image("/bin/sh", "-c", "echo no such weights; exit 3")
    with dubline_fleet("broken", "--gpus", "0", "--image", broken):
        until(lambda: "crash loop" in changes(tmp_path, "broken"))
    lines = [json.loads(each) for each in (tmp_path / "broken.jsonl").read_text().splitlines()]
    (loop,) = [each for each in lines if each.get("change") == "crash loop"]
    assert loop["log"] == ["no such weights"]
    assert loop["note"].startswith("exit code 3 after 0 s, 3 times in a row")
