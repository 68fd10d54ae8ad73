"""What a bench runs on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from worker.evaluation.bench.report import Machine

_CPUINFO = Path("/proc/cpuinfo")


def machine(on_gpu: bool) -> Machine:
    """This machine; `on_gpu` says what the engine computes on."""
    if on_gpu:
        import torch

        device = torch.cuda.get_device_name()
    else:
        device = _processor()
    return Machine(
        device=device,
        dtype="float16" if on_gpu else "float32",
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        python=platform.python_version(),
        torch=_version("torch"),
    )


def _processor() -> str:
    """The processor's model where the system says it, else its kind."""
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
