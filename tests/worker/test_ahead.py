"""The engine is warm before the first job; where it cannot be, a job says why, and no process is replaced for ever."""

import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contract import keys
from contract.broker import make_app, publish
from contract.errors import ConfigurationError, EngineFailed
from contract.job import Delivery, Job, JobOptions, Row, Source
from contract.manifest import Manifest
from producer.local import _environment
from worker import child as children
from worker.ahead import ahead, mark_of
from worker.attempt import Workshop
from worker.child import Child

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "demo"
WORKER = [
    sys.executable,
    "-m",
    "celery",
    "-A",
    "worker.app",
    "worker",
    "--without-gossip",
    "--without-mingle",
]

SLOW_ENGINE = """
import os, signal, sys, time
from worker import weights

weights.ENGINES["musetalk-v15"] = weights.ENGINES["preview"]
if any("spawn_main" in word for word in sys.orig_argv):  # the process that runs jobs
    from worker import setup
    from worker.engines.preview.engine import PreviewEngine

    class Slow(PreviewEngine):
        name = "musetalk-v15"

        def setup(self):
            with open(os.environ["SAID"], "a") as said:
                said.write(f"{os.getpid()}\\n")
            time.sleep(2)
            if len(open(os.environ["SAID"]).readlines()) <= int(os.environ["DEATHS"]):
                os.kill(os.getpid(), signal.SIGSEGV)

    setup.ENGINES["musetalk-v15"] = lambda *_: Slow()
"""


@pytest.fixture
def mark(tmp_path):
    return mark_of(7, tmp_path / "scratch")


def test_the_mark_is_there_for_as_long_as_setting_up_takes(mark, caplog):
    caplog.set_level("INFO")
    seen = []
    ahead(lambda: seen.append(mark.exists()), mark)
    assert seen == [True] and not mark.exists()
    assert "set up ahead of the first job, in 0.0 s" in caplog.text


@pytest.mark.parametrize("error", [ConfigurationError("weights are missing"), EngineFailed("CUDA error")])
def test_what_cannot_be_set_up_is_logged_and_left_to_the_first_job(mark, caplog, error):
    def failing():
        raise error

    ahead(failing, mark)
    assert f"not set up ahead of the first job: {error}" in caplog.text
    assert not mark.exists()


def test_a_defect_is_not_hidden_and_leaves_no_mark(mark):
    with pytest.raises(ZeroDivisionError):
        ahead(lambda: 1 / 0, mark)
    assert not mark.exists()


def test_after_a_process_died_of_it_the_next_ones_do_not_try(mark, caplog):
    mark.parent.mkdir()
    mark.touch()
    ahead(lambda: pytest.fail("tried"), mark)
    assert "an earlier process of this worker died while it set up" in caplog.text
    assert mark.exists(), "for those after it"


def test_where_no_mark_can_be_left_nothing_is_tried(tmp_path, caplog):
    (tmp_path / "file").touch()
    ahead(lambda: pytest.fail("tried"), tmp_path / "file" / "mark")
    assert "not set up ahead of the first job" in caplog.text


def test_each_worker_has_a_mark_of_its_own(tmp_path):
    assert mark_of(7, tmp_path) != mark_of(8, tmp_path)
    assert platform.node() in mark_of(7, tmp_path).name, "those of two containers have the same ids"
    assert mark_of(7, None).is_absolute()


def test_an_engine_that_is_set_up_in_a_moment_is_left_to_the_first_job(settings, monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(children, "ahead", lambda set_up, mark: called.append(mark))
    for engine in ("preview", "musetalk-v15"):
        Child(settings.model_copy(update={"engine": engine})).set_up_ahead(tmp_path / engine)
    assert called == [tmp_path / "musetalk-v15"]


def test_what_is_set_up_ahead_is_what_jobs_use(settings, tmp_path):
    asked = []
    child = Child(settings.model_copy(update={"engine": "musetalk-v1"}))
    child.workshop = Workshop(settings, None, asked.append)
    child.set_up_ahead(tmp_path / "mark")
    assert asked == ["musetalk-v1"]


# --- real processes ---


@pytest.fixture
def delivery(storage):
    for name in ("still.jpg", "voice-short.wav"):
        storage.put(name, (DEMO / name).read_bytes())
    sources = [Source(uri=f"s3://{storage.bucket}/{name}") for name in ("still.jpg", "voice-short.wav")]
    job = Job(video=sources[0], audio=sources[1], options=JobOptions(engine="musetalk-v15"))
    return Delivery(batch="b", row=Row(id="clip", job=job))


class Running:
    """A worker with the slow engine: what it says, and which processes have begun to set it up."""

    def __init__(self, folder):
        self._folder = folder

    @property
    def log(self):
        return (self._folder / "log").read_text()

    @property
    def begun(self):
        said = self._folder / "pids"
        return said.read_text().split() if said.exists() else []

    def until(self, true, seconds=60):
        deadline = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < deadline, self.log
            time.sleep(0.1)
        return found


@pytest.fixture
def worker(settings, weights_folder, tmp_path):
    """Start one; the first `deaths` processes die while they set up."""
    running = []

    def start(deaths=0):
        mine = settings.model_copy(
            update={
                "weights": weights_folder,
                "scratch": tmp_path / "scratch",
                "prepared_bytes": 0,
                "engine": "musetalk-v15",
            }
        )
        (tmp_path / "sitecustomize.py").write_text(SLOW_ENGINE)
        environment = _environment(mine) | {
            "PYTHONPATH": f"{tmp_path}:{ROOT}",
            "SAID": str(tmp_path / "pids"),
            "DEATHS": str(deaths),
        }
        with (tmp_path / "log").open("wb") as log:
            running.append(subprocess.Popen(WORKER, env=environment, stdout=log, stderr=log))
        return Running(tmp_path)

    yield start
    for process in running:
        process.terminate()
        process.wait()


def test_the_engine_is_warm_before_any_job_and_the_job_waits_for_nothing(
    worker, settings, storage, delivery, tmp_path
):
    running = worker()
    running.until(lambda: "set up ahead of the first job" in running.log)
    assert len(running.begun) == 1
    assert list((tmp_path / "scratch").iterdir()) == []
    with make_app(settings) as app:
        publish(app, delivery)
        body = running.until(lambda: storage.get(keys.manifest(delivery.row.job.id)))
    made = Manifest.model_validate_json(body)
    assert (made.status, made.attempt.number) == ("succeeded", 1)
    assert made.timings["setup"] < 1.0
    assert len(running.begun) == 1


def test_a_process_that_dies_setting_up_is_replaced_by_one_that_waits_for_a_job(
    worker, settings, storage, delivery
):
    running = worker(deaths=1)
    running.until(lambda: "an earlier process of this worker died while it set up" in running.log)
    assert "SIGSEGV" in running.log
    time.sleep(4)  # twice what setting up takes
    assert len(running.begun) == 1, "nothing goes on in circles"
    with make_app(settings) as app:
        publish(app, delivery)
        body = running.until(lambda: storage.get(keys.manifest(delivery.row.job.id)))
    assert Manifest.model_validate_json(body).status == "succeeded"
    assert len(running.begun) == 2
