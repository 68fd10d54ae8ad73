"""The GPU that this process has in use, for people who look on."""

import sys
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True)
class Gpu:
    """One GPU and its memory, by whomever it is used."""

    name: str
    used_bytes: int
    total_bytes: int
    use_ratio: float | None = None
    """Share of the last moments in which it worked; None where NVML's Python package is not installed."""


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
