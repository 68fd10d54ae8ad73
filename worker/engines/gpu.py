"""The GPUs of this machine, and the one that this process has in use."""

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from contract.errors import ConfigurationError

DEVICES = Path("/dev")
"""Where the driver shows its GPUs: nvidia0, nvidia1, ..."""


@dataclass(frozen=True)
class Gpu:
    """One GPU and its memory, by whomever it is used."""

    name: str
    used_bytes: int
    total_bytes: int
    use_ratio: float | None = None
    """Share of the last moments in which it worked; None where NVML's Python package is not installed."""


def gpus_here(devices: Path = DEVICES) -> list[int]:
    """The numbers of the NVIDIA GPUs that this machine, or container, sees."""
    return sorted(int(each.name.removeprefix("nvidia")) for each in devices.glob("nvidia[0-9]*"))


def require_gpu() -> None:
    """Return if networks can run on a GPU here. Imports torch, where it is installed.

    Raises:
        ConfigurationError: they cannot.
    """
    if importlib.util.find_spec("torch"):
        import torch

        is_there = torch.cuda.is_available()
    else:
        is_there = bool(gpus_here())
    if not is_there:
        raise ConfigurationError(
            "no GPU is seen here, and DUBLINE_REQUIRE_GPU asks for one; give this machine NVIDIA's driver, a container the "
            "NVIDIA Container Toolkit and docker-compose.gpu.yml, or unset it to work on the CPU"
        )


def gpu_in_use() -> Gpu | None:
    """The GPU that an engine of this process runs on; None where there is none. Nothing is loaded to find out."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    try:
        free, total = torch.cuda.mem_get_info()
        return Gpu(torch.cuda.get_device_name(), total - free, total, _use(torch))
    except RuntimeError:  # after some errors of CUDA every call fails: the job says so, with its own words
        return None


def _use(torch: ModuleType) -> float | None:
    try:
        return float(torch.cuda.utilization()) / 100
    except Exception:  # noqa: BLE001 - NVML's errors are a class of a package that may not be there
        return None
