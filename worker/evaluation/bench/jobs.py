"""Whole jobs, files to file, as a worker runs them but for the store: in a new process, and in one that is set up."""

import multiprocessing
import time
import wave
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from contract.errors import AudioTooShort
from contract.job import JobOptions
from contract.ledger import Progress
from contract.settings import Settings
from worker.engines.base import Keeping
from worker.media.audio import read_audio
from worker.media.clock import SAMPLE_RATE
from worker.media.limits import Limits
from worker.prepared.shelf import Shelf
from worker.progress import JobProgress
from worker.render import Tools, render
from worker.setup import set_up
from worker.stopwatch import Stopwatch

if TYPE_CHECKING:
    from worker.evaluation.bench.stand_ins import StandIns


@dataclass(frozen=True)
class Pair:
    """What every job of a bench renders."""

    video: Path
    audio: Path
    options: JobOptions


@dataclass(frozen=True)
class Ground:
    """All that a job needs and that is the same for every job; goes to other processes."""

    pair: Pair
    settings: Settings
    folder: Path
    """For outputs."""
    stand_ins: "StandIns | None" = None
    """Random weights in place of the real ones."""

    def set_up(self) -> Tools:
        """What a process sets up once. Raises ConfigurationError as that does."""
        if self.stand_ins:
            self.stand_ins.let_in()
        return set_up(self.settings, engine=self.pair.options.engine)


@dataclass(frozen=True)
class Done:
    """One job that ended."""

    seconds: float
    frames: int
    width: int
    height: int
    prepared: int
    """Source frames that it had to prepare."""
    stages: dict[str, float]


def cold(ground: Ground) -> float:
    """Seconds from the start of a new process to the end of its first job.

    Raises:
        DublineError: as the job itself.
    """
    spawned = multiprocessing.get_context("spawn")
    started = time.perf_counter()
    with ProcessPoolExecutor(max_workers=1, mp_context=spawned) as process:
        process.submit(_first_job, ground).result()
        return time.perf_counter() - started


def _first_job(ground: Ground) -> Done:
    return once(ground, ground.set_up())


def once(ground: Ground, tools: Tools, show: Callable[[Progress], None] = lambda _: None) -> Done:
    """One job in this process."""
    pair, watch = ground.pair, Stopwatch()
    output = ground.folder / "out.mp4"
    started = time.perf_counter()
    done = render(pair.video, pair.audio, output, pair.options, tools, JobProgress(on_change=show), watch)
    seconds = time.perf_counter() - started
    output.unlink()
    return Done(
        seconds=seconds,
        frames=done.encoded.frames,
        width=done.video.width or 0,
        height=done.video.height or 0,
        prepared=done.frames.prepared,
        stages=watch.seconds(),
    )


def new_and_prepared(
    ground: Ground, tools: Tools, runs: int, show: Callable[[str, Progress], None] = lambda *_: None
) -> tuple[list[Done], list[Done]]:
    """Jobs of a source that was never seen, then as many of the one that the last of them left prepared.

    None of those where nothing is kept.
    """
    new = []
    for run in range(runs):
        tools = replace(tools, shelf=Shelf.of(with_shelf(ground.settings, f"warm-{run}"), None))
        new.append(once(ground, tools, partial(show, f"job {run + 1} of a new source")))
    if tools.shelf is None or not isinstance(tools.engine.for_job(ground.pair.options), Keeping):
        return new, []
    again = partial(once, ground, tools)
    return new, [again(partial(show, f"job {run + 1} of a prepared source")) for run in range(runs)]


def with_shelf(settings: Settings, name: str) -> Settings:
    """The same settings with a cache of their own, in which nothing is."""
    return settings.model_copy(update={"prepared": settings.prepared / name})


def shortened(audio: Path, seconds: float, folder: Path, settings: Settings) -> Path:
    """The first seconds of a voice, as a WAV file in the folder.

    Raises:
        InputRejected: it cannot be read, or nothing of it is left.
    """
    samples = read_audio(audio, Limits.of(settings)).samples_16k[: round(seconds * SAMPLE_RATE)]
    if not len(samples):
        raise AudioTooShort(f"{seconds:g} s of {audio} is no sound at all; ask for more with --seconds")
    path = folder / "voice.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((samples.clip(-1, 1) * 32767).round().astype(np.int16).tobytes())
    return path
