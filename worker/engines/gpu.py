"""The GPU that this process has in use, for people who look on."""

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """One GPU and its memory, by whomever it is used."""

    name: str
    used_bytes: int
    total_bytes: int


def gpu_in_use() -> Gpu | None:
    """The GPU that an engine of this process runs on; None where there is none. Nothing is loaded to find out."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    try:
        free, total = torch.cuda.mem_get_info()
        return Gpu(torch.cuda.get_device_name(), total - free, total)
    except RuntimeError:  # after some errors of CUDA every call fails: the job says so, with its own words
        return None
