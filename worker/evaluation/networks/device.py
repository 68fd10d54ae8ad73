"""Where the networks that judge run: on a GPU as exactly as on the CPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def choose_device(threads: int) -> torch.device:
    """The first GPU that torch sees; without one the CPU, with that many threads from now on."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    torch.set_num_threads(threads)
    return torch.device("cpu")


@contextmanager
def judging() -> Iterator[None]:
    """Where a network judges: without gradients, and in whole single precision.

    Left to itself cuDNN convolves in TF32, with 10 bits of mantissa: a figure would depend on the GPU's generation.
    """
    with (
        torch.inference_mode(),
        torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
    ):
        yield
