"""One pair rendered in this process, without queue or store: `dubline render`."""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from contract.errors import InputNotFound
from contract.job import Boundary, JobOptions
from contract.ledger import Progress
from contract.manifest import Frames, SyncCheck, WarningRecord
from contract.settings import Settings
from worker import weights
from worker.progress import JobProgress
from worker.render import render
from worker.setup import set_up
from worker.stopwatch import Stopwatch

Show = Callable[[Progress], None]


class RenderedAlone(Boundary):
    """What was made and measured."""

    output: str
    sha256: str
    bytes: int
    duration_seconds: float
    frames: Frames
    sync_check: SyncCheck
    warnings: tuple[WarningRecord, ...]
    seconds: float
    """Wall clock of it all."""
    timings: dict[str, float]

    @property
    def summary(self) -> str:
        """One line for a terminal."""
        check = self.sync_check
        sync = f"sync {check.correlation:.2f}" if check.correlation is not None else f"sync: {check.reason}"
        return (
            f"{self.frames.total} frames, {self.duration_seconds:.2f} s, "
            f"{self.frames.without_face} without a face, {sync}; took {self.seconds:.1f} s"
        )


def render_alone(
    video: Path, audio: Path, output: Path, options: JobOptions, settings: Settings, show: Show
) -> RenderedAlone:
    """The pair's lip-synced video at `output`, which appears whole or not at all.

    Raises:
        InputRejected: the pair cannot be rendered.
        ConfigurationError: weights are wrong and cannot be fetched.
    """
    for path in (video, audio):
        if not path.is_file():
            raise InputNotFound(f"{path} is not a file")
    started, watch = time.perf_counter(), Stopwatch()
    with watch.stage("setup"):
        weights.fetch(weights.ENGINES[options.engine], settings.weights)
        tools = set_up(settings)
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".dubline-", dir=output.parent) as folder:
        made = Path(folder) / "video.mp4"
        done = render(video, audio, made, options, tools, JobProgress(on_change=show), watch)
        made.replace(output)
    return RenderedAlone(
        output=str(output),
        sha256=done.encoded.sha256,
        bytes=done.encoded.bytes,
        duration_seconds=done.encoded.duration_seconds,
        frames=done.frames,
        sync_check=done.sync_check,
        warnings=done.warnings,
        seconds=round(time.perf_counter() - started, 3),
        timings=watch.seconds(),
    )
