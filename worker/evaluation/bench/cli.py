"""`dubline bench`. Imports lightly."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from contract.errors import BadRequest, ConfigurationError, InputNotFound
from contract.job import EngineName, JobOptions
from contract.settings import Settings
from worker.evaluation.bench.plan import Plan

DEMO_VIDEO, DEMO_AUDIO = Path("demo/portrait.mp4"), Path("demo/voice-long.m4a")


def bench(
    engine: Annotated[EngineName, typer.Option(help="What to measure.")] = "musetalk-v15",
    random_weights: Annotated[
        bool,
        typer.Option("--random-weights", help="MuseTalk's networks without their weights: as fast as with."),
    ] = False,
    video: Annotated[Path, typer.Option(help="What to render.")] = DEMO_VIDEO,
    audio: Annotated[Path, typer.Option(help="The voice.")] = DEMO_AUDIO,
    seconds: Annotated[float | None, typer.Option(min=0.04, help="Use the first part of the voice.")] = None,
    batch_sizes: Annotated[
        str | None, typer.Option(help="Of the networks alone: 1,2,4,8. Without it: as suits the device.")
    ] = None,
    layouts: Annotated[
        str | None,
        typer.Option(
            help="Of the networks alone: contiguous,channels-last,throughout. Without it: that of the jobs."
        ),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Warm jobs of each kind.")] = 3,
    cold_runs: Annotated[int, typer.Option(min=0, help="First jobs, each in a new process.")] = 1,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the figures here as JSON.")] = None,
    plot_path: Annotated[Path | None, typer.Option("--plot", help="Draw the figures here as SVG.")] = None,
) -> None:
    """Measure an engine on this machine: speed, memory and cost."""
    _refuse_early(video, audio, json_path, plot_path)
    try:
        plan = Plan(
            video=video,
            audio=audio,
            options=_options(engine),
            random_weights=random_weights,
            seconds=seconds,
            batch_sizes=_sizes(batch_sizes),
            layouts=_layouts(layouts),
            runs=runs,
            cold_runs=cold_runs,
        )
        from worker.evaluation.bench.plot import plot
        from worker.evaluation.bench.rounds import measure  # heavy
        from worker.evaluation.bench.table import tables
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"`dubline bench` needs the worker ({error}): pip install 'dubline[worker]'"
        ) from error

    with _bar() as show:
        report = measure(plan, Settings.read(), show)
    Console(highlight=False).print(tables(report), soft_wrap=False)
    if json_path:
        json_path.write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    if plot_path:
        plot_path.write_text(plot(report), encoding="utf-8")


def _refuse_early(video: Path, audio: Path, json_path: Path | None, plot_path: Path | None) -> None:
    for path in (video, audio):
        if not path.is_file():
            raise InputNotFound(f"{path} is not a file; name a pair with --video and --audio")
    for output in (json_path, plot_path):
        if output and not output.parent.is_dir():
            raise ConfigurationError(f"there is no folder {output.parent} for {output.name}; make it first")
    if plot_path and plot_path.suffix.lower() != ".svg":
        raise ConfigurationError(f"{plot_path} would be no SVG, and nothing else is drawn; call it .svg")


def _options(engine: EngineName) -> JobOptions:
    try:
        return JobOptions(engine=engine)
    except ValidationError as error:
        raise BadRequest(f"engine {engine} is not of this version") from error


def _layouts(text: str | None) -> tuple[str, ...]:
    """Layouts from "contiguous,throughout"; none for that of the jobs alone."""
    if text is None:
        return ()
    from worker.engines.musetalk.layout import LAYOUTS  # heavy

    words = [each.strip() for each in text.split(",")]
    if not set(words) <= set(LAYOUTS):
        raise BadRequest(f"--layouts {text} is no list of layouts; there are {','.join(LAYOUTS)}")
    return tuple(dict.fromkeys(words))


def _sizes(text: str | None) -> tuple[int, ...] | None:
    """Batch sizes from "1,2,4"; None for those that suit the device."""
    if text is None:
        return None
    words = [each.strip() for each in text.split(",")]
    if not all(each.isdecimal() and int(each) > 0 for each in words):
        raise BadRequest(f"--batch-sizes {text} is no list of numbers from 1 up, like 1,2,4,8")
    return tuple(sorted({int(each) for each in words}))


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    """A bar of what is being measured: its name, how much of it is done, and of how much (0: not known)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda name, done, total: progress.update(
            task, description=name, completed=done, total=total or None
        )
