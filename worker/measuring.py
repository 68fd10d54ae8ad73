"""Figures of a job's finished video, where the row asks for them: what `dubline evaluate` measures, in its manifest."""

from pathlib import Path
from typing import Protocol

from contract.errors import ConfigurationError
from contract.figures import Figures
from contract.job import JobOptions
from contract.settings import Settings
from worker.progress import JobProgress


class Measure(Protocol):
    """Measures finished videos, its networks loaded once."""

    def __call__(
        self, video: Path, audio: Path, output: Path, options: JobOptions, progress: JobProgress
    ) -> Figures:
        """All figures of the output of that pair.

        Raises:
            InputRejected: it cannot be measured.
        """


def measure(settings: Settings, threads: int) -> Measure:
    """What measures, with the weights that lie in the settings' folder.

    Raises:
        ConfigurationError: evaluation is not installed here.
    """
    try:
        from worker.evaluation.evaluate import Evaluator  # heavy, and not everywhere installed
        from worker.evaluation.figures import figures_of
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"evaluation is not installed on this worker ({error}): pip install 'dubline[evaluation]'"
        ) from error

    evaluator = Evaluator(settings, threads)

    def measured(
        video: Path, audio: Path, output: Path, options: JobOptions, progress: JobProgress
    ) -> Figures:
        judging = evaluator.judge(
            video, audio, {output.name: output}, options, lambda *_: progress.touch(), touch=progress.touch
        )
        return figures_of(judging, judging.videos[0])

    return measured
