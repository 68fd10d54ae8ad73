"""The GPU in use, as torch tells it; tests/worker/test_presence.py has one that is not there."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from worker.engines.gpu import Gpu, gpu_in_use


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


@pytest.mark.parametrize(
    ("answer", "ratio"), [(42, 0.42), (ModuleNotFoundError("pynvml"), None), (OSError("a driver"), None)]
)
def test_how_busy_it_is_is_told_where_nvml_tells_it_and_left_out_elsewhere(monkeypatch, answer, ratio):
    def utilization():
        if isinstance(answer, Exception):
            raise answer
        return answer

    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        mem_get_info=lambda: (30, 100),
        get_device_name=lambda: "H200",
        utilization=utilization,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert gpu_in_use() == Gpu("H200", 70, 100, ratio)
