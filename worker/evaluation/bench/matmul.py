"""What a device can do at most, as measured: the yardstick of the networks."""

import time

import torch

from worker.evaluation.bench.report import Matmul

SIDE_GPU, SIDE_CPU = 8192, 1536
"""Of the matrices: large enough that nothing but arithmetic counts."""
LEAST_SECONDS = 0.5
"""For so long products are taken, and the fastest counts."""


def measure(device: torch.device, dtype: torch.dtype) -> Matmul:
    """The best rate of a product of two square matrices within LEAST_SECONDS."""
    side = SIDE_GPU if device.type == "cuda" else SIDE_CPU
    left, right = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    _seconds(left, right)  # chooses the kernel
    best, ends = float("inf"), time.perf_counter() + LEAST_SECONDS
    while time.perf_counter() < ends or best == float("inf"):
        best = min(best, _seconds(left, right))
    return Matmul(tflops=round(2 * side**3 / best / 1e12, 4), side=side)


def _seconds(left: torch.Tensor, right: torch.Tensor) -> float:
    _wait(left.device)
    started = time.perf_counter()
    torch.matmul(left, right)
    _wait(left.device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
