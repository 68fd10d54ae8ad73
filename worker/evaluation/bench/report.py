"""The figures of one bench, and how they follow from each other. All of one report come from one run on one machine."""

from collections.abc import Sequence
from typing import Literal, Self

from contract.job import Boundary

FPS = 25
"""Of every output."""

SourceState = Literal["new", "prepared"]


class Machine(Boundary):
    """What it ran on."""

    device: str
    """The GPU's name, or the processor's."""
    dtype: Literal["float16", "float32"]
    cores: int
    """Cores of the processor that this process may use."""
    python: str
    torch: str | None = None


class Clip(Boundary):
    """What was rendered."""

    video: str
    audio: str
    width: int
    height: int
    frames: int
    """Of each output."""


class Spread(Boundary):
    """Seconds of several runs. With few runs the 95th percentile is close to the slowest."""

    runs: int
    p50_seconds: float
    p95_seconds: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self:
        """The spread of at least one measurement."""
        return cls(
            runs=len(seconds),
            p50_seconds=round(percentile(seconds, 0.5), 4),
            p95_seconds=round(percentile(seconds, 0.95), 4),
        )


class Matmul(Boundary):
    """What the device can do at most: a product of square matrices, in 10^12 operations a second."""

    tflops: float
    side: int


class Core(Boundary):
    """The networks alone, latents and sound to pictures, lying in memory in one way, at one batch size."""

    layout: str
    """As worker/engines/musetalk/layout.py has it."""
    batch_size: int
    is_shipped: bool
    """Whether jobs use this layout and batch size: true of one of them."""
    fps: float
    share_of_matmul: float | None
    """Of the measured rate, by the arithmetic of one frame; None where that is not known."""


class EndToEnd(Boundary):
    """Whole jobs in a process that is set up: files to file."""

    source: SourceState
    fps: float
    """Output frames over the median job's seconds."""
    share_of_core: float | None
    """Of what the networks alone gave as jobs use them; None where that was not measured."""
    share_of_best: float | None
    """Of the best that they gave in any layout, at any batch size."""
    latency: Spread
    cost_per_output_minute: float
    stages: dict[str, float]
    """Seconds of each stage in the job that took least. Stages overlap: their sum is more than the job."""


class Memory(Boundary):
    """The most that was in use after the last job: a worker's, for the networks alone are measured later."""

    where: Literal["gpu", "ram"]
    peak_bytes: int
    """Of the GPU: what torch had reserved. Of RAM: this process's resident set."""
    device_bytes: int | None = None
    """In use on the whole GPU then, whosever it is: the process's context included."""


class Report(Boundary):
    """One bench."""

    schema_version: Literal[2] = 2
    dubline: str
    engine: str
    weights: Literal["random", "real", "none"]
    machine: Machine
    clip: Clip
    gflop_per_frame: float | None
    """UNet and decoder of one frame; an addition and a multiplication are two operations."""
    matmul: Matmul | None
    core: tuple[Core, ...]
    cold: Spread | None
    """From a process's start to the end of its first job, of a new source."""
    end_to_end: tuple[EndToEnd, ...]
    memory: Memory
    price_per_hour: float
    currency: str
    notes: tuple[str, ...]
    """What was not measured, and why."""

    @property
    def shipped_core(self) -> tuple[Core, ...]:
        """Of the networks alone what lies as jobs have it, at all batch sizes."""
        layouts = {each.layout for each in self.core if each.is_shipped}
        return tuple(each for each in self.core if each.layout in layouts)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that a share of all lie below, by linear interpolation between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def share_of_matmul(fps: float, gflop_per_frame: float, matmul: Matmul) -> float:
    """How much of the device's measured rate the networks' arithmetic makes use of."""
    return round(fps * gflop_per_frame / (matmul.tflops * 1000), 4)


def cost_per_output_minute(fps: float, price_per_hour: float) -> float:
    """What one minute of output costs on a worker that makes so many frames a second."""
    return round(60 * FPS / fps * price_per_hour / 3600, 6)
