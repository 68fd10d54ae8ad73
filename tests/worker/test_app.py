"""The worker's processes, as Celery starts them."""

import os
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract import keys
from contract.broker import make_app, publish
from contract.errors import ConfigurationError, EngineFailed, NoFace, ResourceExhausted
from contract.job import Delivery, Job, Row, Source
from contract.manifest import Findings, Manifest
from contract.settings import Settings
from producer.local import _environment
from worker.child import Child
from worker.engines.gpu import gpus_here
from worker.media.chosen import prove
from worker.media.encoder import nvenc
from worker.progress import JobProgress
from worker.tasks import Ticket
from worker.tryout import import_all, try_out

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

ENGINE_THAT_FAILS_ONCE = """
import os, sys
from pathlib import Path

if any("spawn_main" in word for word in sys.orig_argv):  # the process that runs jobs
    from contract.errors import EngineFailed
    from worker.engines.preview.engine import PreviewEngine

    said, generate = Path(os.environ["SAID"]), PreviewEngine.generate

    def failing(self, prepared, features):
        before = said.read_text() if said.exists() else ""
        if str(os.getpid()) not in before:
            said.write_text(f"{before}{os.getpid()}\\n")
        if not before:
            raise EngineFailed("CUDA error: an illegal memory access was encountered")
        return generate(self, prepared, features)

    PreviewEngine.generate = failing
"""


@pytest.fixture
def delivery(storage):
    for name in ("still.jpg", "voice-short.wav"):
        storage.put(name, (DEMO / name).read_bytes())
    sources = [Source(uri=f"s3://{storage.bucket}/{name}") for name in ("still.jpg", "voice-short.wav")]
    return Delivery(batch="b", row=Row(id="clip", job=Job(video=sources[0], audio=sources[1])))


@pytest.fixture
def here(settings, weights_folder, tmp_path):
    return settings.model_copy(
        update={
            "weights": weights_folder,
            "scratch": tmp_path,
            "prepared": tmp_path / "prepared",
            "encoder": "x264",
        }
    )


def test_a_process_whose_engine_failed_is_replaced_and_the_job_done_by_the_next(
    here, storage, delivery, tmp_path
):
    (tmp_path / "sitecustomize.py").write_text(ENGINE_THAT_FAILS_ONCE)
    said = tmp_path / "pids"
    environment = _environment(here) | {"PYTHONPATH": f"{tmp_path}:{ROOT}", "SAID": str(said)}
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(WORKER, env=environment, stdout=log, stderr=log)
    try:
        with make_app(here) as app:
            until = time.monotonic() + 90
            while (body := storage.get(keys.manifest(delivery.row.job.id))) is None:
                assert time.monotonic() < until, (tmp_path / "log").read_text()
                publish(app, delivery)  # as the feeder does, for a job that nobody holds
                time.sleep(1)
    finally:
        worker.terminate()
        worker.wait()
    made = Manifest.model_validate_json(body)
    assert (made.status, made.attempt.number) == ("succeeded", 2)
    assert made.output.encoder == "x264"
    assert len(said.read_text().split()) == 2
    log = (tmp_path / "log").read_text()
    assert "attempt 1 failed [engine_failed]: CUDA error" in log
    assert "this process ends, and a new one takes the next job" in log
    assert log.count("x264 encodes the pictures: the setting says so") == 2, "each process says so once"


def test_a_worker_whose_jobs_cannot_be_imported_refuses_to_start(tmp_path):
    (tmp_path / "safetensors.py").write_text(
        "raise ImportError('libtensors.so.0: cannot open shared object file')"
    )
    environment = _environment(Settings()) | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run(WORKER, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    told = done.stderr.splitlines()[-1]
    assert told.startswith("error [configuration]: what jobs need cannot be imported (libtensors.so.0")
    assert "pip install 'dubline[worker]'" in told


def test_a_store_that_ignores_a_condition_is_refused_by_a_worker(here, small_store):
    careless = here.model_copy(update={"s3_endpoint": small_store({("PUT", "If-None-Match")})})
    done = subprocess.run(WORKER, env=_environment(careless), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    told = done.stderr.splitlines()[-1]
    assert told.startswith("error [store_refused]: ") and "8 of 8 won a put that only one may win" in told


def test_a_worker_that_starts_while_the_store_is_away_waits_with_one_line_and_then_works(
    here, small_store, tmp_path
):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    away = here.model_copy(update={"s3_endpoint": f"http://127.0.0.1:{port}"})
    log = tmp_path / "log"
    with log.open("wb") as output:
        worker = subprocess.Popen(WORKER, env=_environment(away), stdout=output, stderr=output)
    try:
        until(lambda: "the start waits: " in log.read_text(), log)
        time.sleep(3)  # it is tried again meanwhile
        assert worker.poll() is None
        small_store(set(), port)
        until(lambda: " ready." in log.read_text(), log)
    finally:
        worker.terminate()
        worker.wait()
    assert log.read_text().count("the start waits: ") == 1


def until(true, log, seconds=60):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def test_a_worker_that_is_to_use_nvenc_and_cannot_refuses_to_start(tmp_path, weights_folder):
    found = prove(nvenc())
    if found.sha256:
        pytest.skip("NVENC works on this machine")
    environment = _environment(Settings(weights=weights_folder, encoder="nvenc"))
    done = subprocess.run(WORKER, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    told = done.stderr.splitlines()[-1]
    assert told.startswith(f"error [configuration]: NVENC does not work here: {found.fault}")
    assert "DUBLINE_ENCODER" in told


@pytest.mark.skipif(bool(gpus_here()), reason="this machine has a GPU")
def test_a_worker_that_must_have_a_gpu_and_sees_none_ends_with_what_to_do(weights_folder):
    environment = _environment(Settings(weights=weights_folder, require_gpu=True))
    done = subprocess.run(WORKER, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error [configuration]: no GPU is seen here")


def test_what_jobs_need_is_imported_in_another_process(tmp_path):
    try_out("preview", tmp_path)
    code = (
        "import sys; from pathlib import Path; from worker.tryout import try_out; "
        "try_out('preview', Path('.')) if __name__ == '__main__' else None; "
        "print(sorted({'cv2', 'av', 'torch', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_library_that_ends_its_process_is_told_apart(tmp_path, monkeypatch):
    (tmp_path / "safetensors.py").write_text("import os; os.abort()")
    monkeypatch.syspath_prepend(str(tmp_path))  # the other process gets this one's path
    with pytest.raises(ConfigurationError, match="ends the process"):
        try_out("preview", tmp_path)


def test_libraries_of_an_engine_that_are_missing_are_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "worker.engines.musetalk.engine", None)
    import_all("preview", tmp_path)
    with pytest.raises(ConfigurationError, match=r"pip install 'dubline\[musetalk\]'"):
        import_all("musetalk-v15", tmp_path)


def test_a_process_that_cannot_import_hands_its_job_back_uncounted(
    here, storage, ledger, delivery, monkeypatch, caplog
):
    monkeypatch.setitem(sys.modules, "worker.attempt", None)
    child = Child(here)
    assert child.runner.run(delivery, "tag") == "released"
    assert "this worker cannot run jobs" in caplog.text and "pip install 'dubline[worker]'" in caplog.text
    assert storage.get(keys.manifest(delivery.row.job.id)) is None
    assert not child.is_spent


@pytest.mark.parametrize(
    ("error", "is_spent"),
    [
        (EngineFailed("CUDA"), True),
        (RuntimeError("a defect"), True),
        (NoFace("nobody"), False),
        (ResourceExhausted("memory"), False),
    ],
)
def test_only_a_failure_of_the_engine_or_a_defect_ends_the_process(here, delivery, error, is_spent):
    class Failing:
        def perform(self, *_):
            raise error

    child = Child(here)
    child.workshop = Failing()
    with pytest.raises(type(error)):
        child.perform(Ticket(delivery, "a", 1, datetime.now(UTC)), JobProgress(), Findings())
    assert child.is_spent is is_spent


def test_a_workers_children_keep_their_memory_together_unless_a_person_says_otherwise(monkeypatch):
    from worker.app import keep_memory_together

    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    keep_memory_together()
    assert os.environ["MALLOC_ARENA_MAX"] == "2"
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    keep_memory_together()
    assert os.environ["MALLOC_ARENA_MAX"] == "4"
