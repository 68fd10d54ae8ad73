"""The worker's commands of `dubline`: `render` and `models`, and its lines of `doctor`. Imports lightly."""

import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from contract.checks import Check
from contract.errors import ConfigurationError, DublineError
from contract.job import EngineName, Landmarks, MaskSource, ParsingMode, SyncMode
from contract.ledger import Progress as Now
from contract.settings import EncoderChoice, Settings
from worker import weights
from worker.options import options_of
from worker.weights import registry

models = typer.Typer(
    name="models", help="List, fetch and verify the weights of the networks.", no_args_is_help=True
)


def render(
    video: Annotated[Path, typer.Argument(help="The video, or a still image.")],
    audio: Annotated[Path, typer.Argument(help="The voice: audio, or a video with sound.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the video goes.")],
    engine: Annotated[
        EngineName,
        typer.Option(
            help="What draws the mouths. MuseTalk needs `dubline models fetch musetalk-v15` (or v1) once."
        ),
    ] = "preview",
    sync_mode: Annotated[SyncMode, typer.Option(help="What to do when lengths differ.")] = "bounce",
    face: Annotated[str, typer.Option(help="largest, left, right, or a number from the left.")] = "largest",
    start: Annotated[float, typer.Option(help="Use the video from this second on.")] = 0.0,
    end: Annotated[float | None, typer.Option(help="Use the video up to this second.")] = None,
    bbox_shift: Annotated[
        int, typer.Option(help="Of musetalk-v1: moves the bridge that its box hangs on, in pixels.")
    ] = 0,
    extra_margin: Annotated[int, typer.Option(help="Of musetalk-v15: room below the chin, in pixels.")] = 10,
    parsing_mode: Annotated[ParsingMode, typer.Option(help="Of musetalk-v15: the mask's shape.")] = "jaw",
    landmarks: Annotated[Landmarks, typer.Option(help="Of MuseTalk: what finds the face's points.")] = "mesh",
    mask: Annotated[MaskSource, typer.Option(help="Of MuseTalk: what finds the skin.")] = "mesh",
    as_json: Annotated[bool, typer.Option("--json", help="Print what was measured as JSON.")] = False,
) -> None:
    """Render one pair here and now, without the queue."""
    try:
        from worker.alone import render_alone  # heavy
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"`dubline render` needs the worker ({error}): pip install 'dubline[worker]'"
        ) from error

    options = options_of(
        engine=engine,
        sync_mode=sync_mode,
        face=face,
        start=start,
        end=end,
        bbox_shift=bbox_shift,
        extra_margin=extra_margin,
        parsing_mode=parsing_mode,
        landmarks=landmarks,
        mask=mask,
    )
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


ROW_COLUMNS = 200
"""Of the list's rows, however narrow the terminal: it may wrap them, but nothing is cut."""

Wanted = Annotated[
    list[str] | None,
    typer.Argument(help="Engines, metrics or weights, by name. Default: those of the setting `engine`."),
]


@models.command("list")
def list_weights() -> None:
    """The files of weights, what needs them, where they come from and whether they are here."""
    folder = Settings.read().weights
    table = Table("weights", "state", "size", "SHA-256", "of", "licence", "source", box=None)
    for each in registry.REGISTRY:
        state, size = weights.state(each, folder), weights.readable(each.size)
        users, source = _users(each.name), str(each.source)
        table.add_row(each.name, state, size, each.sha256[:12], users, each.licence, source)
    Console(width=ROW_COLUMNS).print(table)


@models.command()
def fetch(wanted: Wanted = None) -> None:
    """Fetch what is missing and replace what is wrong. An interrupted download goes on where it ended."""
    settings = Settings.read()
    names = _names(wanted or [settings.engine])
    with _download_bar(Console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def meter(each: weights.Weight, size: int) -> None:
            if each.name not in tasks:
                tasks[each.name] = bar.add_task(each.name, total=each.size)
            bar.update(tasks[each.name], completed=size)

        weights.fetch(names, settings.weights, _say_what_is_fetched, meter)
    typer.echo(f"{', '.join(names)}: in {settings.weights.expanduser()}")


@models.command()
def verify(wanted: Wanted = None) -> None:
    """Hash every file anew: those named, or the engine's and all others that are here. Fails on the first wrong one."""
    settings = Settings.read()
    names = _names(wanted or [settings.engine, *_here(settings.weights)])
    weights.verify(names, settings.weights)
    typer.echo(f"{', '.join(names)}: present and right")


def checks(settings: Settings) -> Iterable[Check]:
    """What the worker needs of this machine."""
    yield _codecs()
    yield _encoder(settings.encoder)
    try:
        weights.require(settings.engine, settings.weights)
        yield Check("weights", True, f"of {settings.engine}, in {settings.weights}")
    except ConfigurationError as error:
        yield Check("weights", False, error.message, "dubline models fetch")
    yield _gpu(settings.engine)


def _names(wanted: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name for each in wanted for name in weights.named(each)))


def _here(folder: Path) -> list[str]:
    return [each.name for each in registry.REGISTRY if each.place(folder).exists()]


def _users(name: str) -> str:
    engines = [engine for engine, names in weights.ENGINES.items() if name in names]
    options = [f"{option}={value}" for (option, value), extra in weights.EXTRAS.items() if extra == name]
    metrics = [metric for metric, names in weights.EVALUATION.items() if name in names]
    return ", ".join(engines + options + metrics)


def _say_what_is_fetched(each: weights.Weight, state: weights.State) -> None:
    fetching = f", fetching {weights.readable(each.size)} from {each.source} (licence: {each.licence})"
    typer.echo(f"{each.name}: {state}{'' if state == 'present' else fetching}")


def _gpu(engine: EngineName) -> Check:
    if engine == "preview":
        return Check("GPU", None, f"{engine} runs on the CPU ({platform.machine()})")
    if Path("/dev/nvidia0").exists():
        return Check("GPU", True, "an NVIDIA GPU is here")
    return Check(
        "GPU", None, f"no NVIDIA GPU is seen; on the CPU {engine} takes minutes for a second of video"
    )


def _codecs() -> Check:
    from worker.media.trial import trial  # heavy

    try:
        return Check("codecs", True, trial())
    except DublineError as error:
        return Check("codecs", False, error.message, "pip install --force-reinstall av")


def _encoder(choice: EncoderChoice) -> Check:
    from worker.media.chosen import chosen  # heavy

    try:
        found = chosen(choice)
    except DublineError as error:
        return Check("encoder", False, error.message, "DUBLINE_ENCODER=auto")
    return Check("encoder", True, f"{found.encoder.name}: {found.why}")


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def _download_bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<12}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
