import os
import signal
import subprocess
import sys

import pytest

from contract.errors import ConfigurationError
from worker.device import take_gpu
from worker.engines.gpu import gpus_here

TAKE = (
    "import os, sys; from pathlib import Path; from worker.device import take_gpu; "
    "print(take_gpu(Path(sys.argv[1]), Path(sys.argv[2])), os.environ.get('CUDA_VISIBLE_DEVICES'), flush=True); "
    "sys.stdin.read()"
)


@pytest.fixture
def machine(tmp_path):
    """A machine with GPUs 0 and 1, as its driver shows them."""
    devices = tmp_path / "dev"
    devices.mkdir()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null"):
        (devices / name).touch()
    return devices


@pytest.fixture
def start(tmp_path, machine):
    running = []

    def worker():
        argv = [sys.executable, "-c", TAKE, str(tmp_path / "locks"), str(machine)]
        running.append(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return running[-1], running[-1].stdout.readline().split()

    yield worker
    for each in running:
        each.kill()
        each.communicate()


def test_only_gpus_are_counted(machine):
    assert gpus_here(machine) == [0, 1]


def test_workers_of_one_machine_take_different_gpus_and_see_no_other(start):
    assert [start()[1] for _ in range(2)] == [["0", "0"], ["1", "1"]]


def test_the_gpu_of_a_worker_that_was_killed_is_free_again(start):
    first, _ = start()
    start()
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert start()[1] == ["0", "0"]


def test_of_the_gpus_that_a_container_was_given_cuda_counts_from_0(machine, start):
    (machine / "nvidia0").unlink()
    (machine / "nvidia3").touch()
    assert [start()[1] for _ in range(2)] == [["1", "0"], ["3", "1"]]


def test_a_worker_more_than_gpus_is_refused_with_what_to_do(start, tmp_path, machine):
    start(), start()
    with pytest.raises(ConfigurationError, match=r"hold all 2 GPUs .* start one worker for each GPU"):
        take_gpu(tmp_path / "locks", machine)


def test_a_machine_without_gpus_or_without_a_folder_takes_none(tmp_path, machine, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "bare").mkdir()
    assert take_gpu(tmp_path / "locks", tmp_path / "bare") is None
    assert take_gpu(None, machine) is None
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_a_folder_that_cannot_be_made_is_told(tmp_path, machine):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="set DUBLINE_GPU_LOCKS"):
        take_gpu(tmp_path / "file" / "locks", machine)
