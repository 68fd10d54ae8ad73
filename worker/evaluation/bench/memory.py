"""The most memory that was in use."""

import resource
import sys

from worker.evaluation.bench.report import Memory


def peak(on_gpu: bool) -> Memory:
    """Of this process so far, on the GPU or in RAM."""
    if on_gpu:
        import torch

        free, total = torch.cuda.mem_get_info()
        return Memory(where="gpu", peak_bytes=torch.cuda.max_memory_reserved(), device_bytes=total - free)
    unit = 1 if sys.platform == "darwin" else 1024
    return Memory(where="ram", peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
