"""Calls of one size for a network."""

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the CPU's or the GPU's memory was too small."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "Cannot allocate memory" in text
    )


def is_sticky(error: BaseException) -> bool:
    """Whether the CUDA context is lost."""
    return isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error)
