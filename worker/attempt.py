"""One attempt at one job on this machine: stage in, render, stage out, and a note of everything found."""

import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from contract import traces
from contract.errors import ConfigurationError, DublineError, InputRejected
from contract.job import EngineName, JobOptions
from contract.manifest import EngineRecord, Findings, OutputRecord, WarningRecord
from contract.settings import Settings
from contract.storage import Storage
from worker import weights
from worker.engines.base import Engine
from worker.measuring import Measure, measure
from worker.progress import JobProgress
from worker.render import Rendering, Tools, render
from worker.retry import in_place
from worker.scratch import scratch_folder
from worker.segments.chain import Segments, installed
from worker.stage import Inlet, Staged, stage_out
from worker.stopwatch import Stopwatch
from worker.tasks import Ticket

SOFTWARE = ("dubline", "av", "ai-edge-litert", "celery", "numpy", "opencv-python-headless", "soxr")
OPTIONAL = ("torch", "diffusers", "transformers", "onnxruntime", "rtmlib", "uniface")
"""Named where they took part: where this process has imported them."""


@dataclass(frozen=True)
class Workshop:
    """Performs tickets of any engine, with the tools that `tools` gives for its name."""

    settings: Settings
    storage: Storage
    tools: Callable[[EngineName], Tools]

    def perform(self, ticket: Ticket, progress: JobProgress, findings: Findings) -> None:
        """Render the ticket's job and upload what it made. Raises the errors of contract.errors."""
        job = ticket.delivery.row.job
        watch = Stopwatch()
        findings.device = device()
        try:
            with scratch_folder(self.settings.scratch) as folder:
                with watch.stage("stage_in"):
                    video, audio = Inlet.of(self.settings, self.storage).stage_in(job, folder, progress)
                findings.video, findings.audio = video.record, audio.record
                with watch.stage("setup"):
                    tools = self.tools(job.options.engine)
                findings.device = device(tools.engine)
                made_with = {
                    "inputs": [video.record.sha256, audio.record.sha256],
                    **installed(SOFTWARE + OPTIONAL),
                }
                segments = Segments(self.storage, ticket.job_id, folder, made_with, progress.touch)
                tools = replace(tools, segments=segments)
                output = folder / "video.mp4"
                rendering = render(video.path, audio.path, output, job.options, tools, progress, watch)
                note(findings, rendering, video, audio, job.options)
                if job.options.evaluate:
                    progress.enter("evaluating")
                    with watch.stage("evaluate"):
                        self._evaluate((video.path, audio.path), output, job.options, progress, findings)
                progress.enter("uploading")
                with watch.stage("stage_out"):
                    findings.output, curves_key = self._upload(ticket, output, rendering, progress)
                findings.sync_check = rendering.sync_check.model_copy(update={"curves_key": curves_key})
        finally:
            findings.timings = watch.seconds()
            for each in watch.spells():
                traces.passed(each.stage, each.began_ns, each.ended_ns, busy_seconds=each.seconds)
            findings.software = software()

    def _upload(
        self, ticket: Ticket, output: Path, rendering: Rendering, progress: JobProgress
    ) -> tuple[OutputRecord, str]:
        job, attempt, encoded, curves = ticket.job_id, ticket.attempt_id, rendering.encoded, rendering.curves
        return in_place(
            lambda: stage_out(self.storage, job, attempt, output, encoded, curves, progress), progress.touch
        )

    @cached_property
    def _measure(self) -> Measure:
        return measure(self.settings, self.settings.threads)

    def _evaluate(
        self,
        pair: tuple[Path, Path],
        output: Path,
        options: JobOptions,
        progress: JobProgress,
        findings: Findings,
    ) -> None:
        """Measure the finished video. One that cannot be measured is a result all the same, with a warning.

        What goes wrong with this machine while it measures is tried again, as while it renders.
        """
        try:
            measured = self._measure
        except ConfigurationError as error:
            _not_evaluated(findings, error)
            return
        try:
            findings.evaluation = measured(*pair, output, options, progress)
        except InputRejected as error:
            _not_evaluated(findings, error)


def _not_evaluated(findings: Findings, error: DublineError) -> None:
    warning = WarningRecord(code="not_evaluated", message=error.message)
    findings.warnings = (*findings.warnings, warning)


def note(findings: Findings, rendering: Rendering, video: Staged, audio: Staged, options: JobOptions) -> None:
    """Write down what a render found."""
    findings.video = video.record.model_copy(update={"facts": rendering.video})
    findings.audio = audio.record.model_copy(update={"facts": rendering.audio})
    used = weights.records_of(weights.needed(options))
    findings.engine = EngineRecord(name=options.engine, weights=used)
    findings.frames = rendering.frames
    findings.sync_check = rendering.sync_check
    findings.warnings = rendering.warnings


def software() -> dict[str, str]:
    """Versions of what took part."""
    used = SOFTWARE + tuple(name for name in OPTIONAL if name in sys.modules)
    return {"python": platform.python_version()} | {name: version(name) for name in used}


def device(engine: Engine | None = None) -> str:
    """What the engine runs on, by its own word (`device`), else this machine's processor."""
    return getattr(engine, "device", None) or f"cpu {platform.machine()} {platform.system()}"
