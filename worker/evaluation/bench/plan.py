"""What a bench is to measure. Imports lightly."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from contract.job import JobOptions

Show = Callable[[str, int, int], None]
"""Told what is being measured, how much of it is done, and of how much (0: not known)."""


@dataclass(frozen=True)
class Plan:
    """One bench."""

    video: Path
    audio: Path
    options: JobOptions
    random_weights: bool = False
    seconds: float | None = None
    """Of the voice; None: all of it."""
    batch_sizes: tuple[int, ...] | None = None
    """Ascending; None: as suits the device. That of the jobs is measured in any case."""
    layouts: tuple[str, ...] = ()
    """How the networks lie besides: the layout of the jobs is measured in any case."""
    runs: int = 3
    cold_runs: int = 1
