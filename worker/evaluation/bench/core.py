"""The networks alone: latents and windows to pictures in main memory, as a job's middle stage has it."""

import gc
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from contract.errors import ResourceExhausted
from worker.engines.musetalk.generator import Generator
from worker.engines.musetalk.networks import Networks
from worker.evaluation.bench import flops
from worker.evaluation.bench.report import Core, Matmul, percentile, share_of_matmul

SIZES_GPU, SIZES_CPU = (1, 2, 4, 8, 16, 32), (1, 2)
LEAST_SECONDS, LEAST_CALLS = 2.0, 2
"""For so long and so often each batch size is run, after a first call that does not count."""


def measure(
    networks: Networks,
    sizes: Sequence[int],
    matmul: Matmul,
    show: Callable[[int], None],
    shipped: int | None = None,
) -> Iterator[Core]:
    """Frames a second at each batch size; ends early where memory does. `show` is told of each size first.

    `shipped` is the batch size of jobs, where theirs are these networks.
    """
    gflop = flops.per_frame(networks)
    for size in sizes:
        show(size)
        try:
            seconds = _seconds_per_batch(networks, size)
        except ResourceExhausted:
            return
        fps = size / seconds
        yield Core(
            layout=networks.layout,
            batch_size=size,
            is_shipped=size == shipped,
            fps=round(fps, 4),
            share_of_matmul=share_of_matmul(fps, gflop, matmul),
        )
        gc.collect()


def _seconds_per_batch(networks: Networks, size: int) -> float:
    """The median of several calls. Raises ResourceExhausted where the batch is too large for the memory."""
    generator = Generator(networks, size)
    latents, windows = _given(networks, size)
    generator.pictures(latents, windows)
    taken: list[float] = []
    while sum(taken) < LEAST_SECONDS or len(taken) < LEAST_CALLS:
        started = time.perf_counter()
        generator.pictures(latents, windows)
        taken.append(time.perf_counter() - started)
    if generator.batch_size < size:  # it has halved its batch, which no job's caller need know
        raise ResourceExhausted(f"{size} frames at once are too many for the memory of {networks.device}")
    return percentile(taken, 0.5)


def _given(networks: Networks, size: int) -> tuple[np.ndarray, torch.Tensor]:
    latents, windows = (
        torch.randn(size, *each, dtype=torch.float32).to(networks.dtype) for each in flops.shapes(networks)
    )
    return latents.numpy(), windows.to(networks.device)
