"""The GPU in use, as torch tells it; tests/worker/test_presence.py has one that is not there."""

import subprocess
import sys

import pytest

from worker.engines.gpu import gpu_in_use


def test_nothing_is_loaded_to_find_out():
    code = (
        "import sys; from worker.engines.gpu import gpu_in_use; print(gpu_in_use(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "False"]


def test_a_gpu_that_no_engine_has_begun_to_use_is_not_told():
    torch = pytest.importorskip("torch")
    assert callable(torch.cuda.mem_get_info) and callable(torch.cuda.get_device_name)
    if not torch.cuda.is_initialized():
        assert gpu_in_use() is None
