"""One pair rendered in this process, without queue or store: `dubline render`."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from contract.errors import ConfigurationError, InputNotFound
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
        ConfigurationError: weights are wrong and cannot be fetched, or `output` cannot be written.
    """
    for path in (video, audio):
        if not path.is_file():
            raise InputNotFound(f"{path} is not a file")
    if output.is_dir():
        raise ConfigurationError(f"{output} is a folder; name a file with --output")
    started, watch = time.perf_counter(), Stopwatch()
    with watch.stage("setup"):
        weights.provide(options.engine, settings.weights)
        tools = set_up(settings, engine=options.engine)
    with _writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        folder = TemporaryDirectory(prefix=".dubline-", dir=output.parent)
    with folder as name:
        made = Path(name) / "video.mp4"
        done = render(video, audio, made, options, tools, JobProgress(on_change=show), watch)
        with _writing(output):
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


@contextmanager
def _writing(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"{output} cannot be written: {error.strerror}; choose another --output"
        ) from error
