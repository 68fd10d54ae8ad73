"""`dubline evaluate` and `dubline compare`. Imports lightly."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from os import cpu_count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from contract.errors import BadRequest, ConfigurationError, InputNotFound
from contract.evaluation import Comparison
from contract.figures import Figures
from contract.job import JobOptions, SyncMode
from contract.settings import Settings
from worker.options import options_of

if TYPE_CHECKING:
    from worker.evaluation.compare import Entry

Show = Callable[[str, int, int], None]
"""Told what is looked at, how many frames of it, and of how many."""
SyncModeOption = Annotated[SyncMode, typer.Option(help="How the source was played where it was too short.")]
FaceOption = Annotated[
    str, typer.Option(help="Whose mouth was redrawn: largest, left, right, or a number from the left.")
]
StartOption = Annotated[float, typer.Option(help="The source was used from this second on.")]
EndOption = Annotated[float | None, typer.Option(help="The source was used up to this second.")]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Write all figures here.")]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Write a report to look at here: one file.")]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Fail where a figure is unavailable or invalid.")
]


def evaluate(
    source: Annotated[Path, typer.Option(help="What the video was made from.")],
    generated: Annotated[Path, typer.Option(help="The video to judge.")],
    audio: Annotated[Path, typer.Option(help="The voice that it was made for.")],
    json_path: JsonOption = None,
    html_path: HtmlOption = None,
    sync_mode: SyncModeOption = "bounce",
    face: FaceOption = "largest",
    start: StartOption = 0.0,
    end: EndOption = None,
    controls: Annotated[bool, typer.Option(help="Measure the controls, too: about twice the time.")] = True,
    strict: StrictOption = False,
) -> None:
    """Measure how good a lip-synced video is: sync, picture, identity; with intervals and controls."""
    _refuse_early((source, generated, audio), (json_path, html_path))
    with _needed():
        from worker.evaluation.compare import Entry  # heavy
        from worker.evaluation.evaluate import Evaluator
        from worker.evaluation.figures import evaluation_of
        from worker.evaluation.report import report_of_evaluation
        from worker.evaluation.table import table_of_evaluation

    options = options_of(sync_mode=sync_mode, face=face, start=start, end=end)
    entry = Entry("", source, audio, {generated.name: generated}, options)
    with _bar() as show:
        evaluator = Evaluator(Settings.read(), cpu_count() or 1)
        judging = evaluator.judge(source, audio, entry.outputs, options, show, controls)
        found = evaluation_of(judging, judging.videos[0])
    Console(highlight=False).print(table_of_evaluation(found))
    _keep(found, json_path, html_path, lambda show: report_of_evaluation(found, entry, show))
    _be_strict(strict, [found])


def compare(
    pairs: Annotated[
        Path | None,
        typer.Argument(
            help="A CSV: source,audio and a column for each system's output; a line for each clip."
        ),
    ] = None,
    source: Annotated[Path | None, typer.Option(help="Of one clip: what the videos were made from.")] = None,
    audio: Annotated[
        Path | None, typer.Option(help="Of one clip: the voice that they were made for.")
    ] = None,
    output: Annotated[list[str] | None, typer.Option(help="Of one clip: NAME=FILE, for each system.")] = None,
    results: Annotated[
        list[str] | None,
        typer.Option(
            help="Of batches with the column `evaluate`: NAME=FOLDER of `dubline results`, for each system."
        ),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="The system that % refer to. Default: the first.")
    ] = None,
    json_path: JsonOption = None,
    html_path: HtmlOption = None,
    sync_mode: SyncModeOption = "bounce",
    face: FaceOption = "largest",
    start: StartOption = 0.0,
    end: EndOption = None,
    strict: StrictOption = False,
) -> None:
    """Set the outputs of several systems against each other, and say who is better where that can be said."""
    _refuse_early(tuple(filter(None, (pairs, source, audio))), (json_path, html_path))
    with _needed():
        from worker.evaluation.compare import Entry  # heavy
        from worker.evaluation.compare import compare as compared
        from worker.evaluation.evaluate import Evaluator
        from worker.evaluation.pairs import read_pairs
        from worker.evaluation.report import report_of_comparison
        from worker.evaluation.table import table_of_comparison

    entries: list[Entry] = []
    if results:
        _only("--results", pairs, source, audio, output)
        found = _of_results(results, baseline)
    else:
        options = options_of(sync_mode=sync_mode, face=face, start=start, end=end)
        if pairs:
            _only("a CSV", source, audio, output)
        entries = read_pairs(pairs, options) if pairs else [_entry(source, audio, output or [], options)]
        chosen = _baseline(baseline, list(entries[0].outputs))
        with _bar() as show:
            found = compared(entries, chosen, Evaluator(Settings.read(), cpu_count() or 1), show)
    Console(highlight=False).print(table_of_comparison(found))
    _keep(found, json_path, html_path, lambda show: report_of_comparison(found, entries, show))
    _be_strict(strict, [each for clip in found.clips for each in clip.evaluations.values()])


def _of_results(results: Sequence[str], baseline: str | None) -> Comparison:
    from worker.evaluation.compare import comparison_of  # heavy
    from worker.evaluation.results import read_results

    folders = _named(results)
    if len(folders) < max(2, len(results)):
        raise BadRequest("name each system once, at least two: --results NAME=FOLDER --results OTHER=FOLDER")
    for folder in folders.values():
        if not folder.is_dir():
            raise InputNotFound(f"{folder} is not a folder; `dubline results BATCH --to {folder}` makes it")
    return comparison_of(read_results(folders), _baseline(baseline, list(folders)), 0.0)


def _only(what: str, *others: object) -> None:
    if any(others):
        raise BadRequest(f"name the clips by {what} or otherwise, not both")


def _named(words: Sequence[str]) -> dict[str, Path]:
    """Files or folders by the names before their `=`."""
    return {name: Path(file) for name, _, file in (each.partition("=") for each in words) if name and file}


def _entry(source: Path | None, audio: Path | None, outputs: Sequence[str], options: JobOptions) -> "Entry":
    from worker.evaluation.compare import Entry
    from worker.evaluation.pairs import check_files

    named = _named(outputs)
    if source is None or audio is None or len(named) < max(2, len(outputs)):
        raise BadRequest(
            "name a CSV, or one clip: --source FILE --audio FILE --output NAME=FILE --output OTHER=FILE, each name once"
        )
    entry = Entry(source.stem, source, audio, named, options)
    check_files([entry])
    return entry


def _baseline(wanted: str | None, names: Sequence[str]) -> str:
    if wanted is not None and wanted not in names:
        raise BadRequest(f"--baseline {wanted} is none of {', '.join(names)}")
    return wanted or names[0]


def _refuse_early(inputs: Sequence[Path], outputs: Sequence[Path | None]) -> None:
    for path in inputs:
        if not path.is_file():
            raise InputNotFound(f"{path} is not a file; check the path")
    for output in outputs:
        if output and not output.parent.is_dir():
            raise ConfigurationError(f"there is no folder {output.parent} for {output.name}; make it first")


def _keep(
    found: BaseModel, json_path: Path | None, html_path: Path | None, report: Callable[[Show], str]
) -> None:
    """Write down what was found, and the report of it, where they are wanted."""
    if json_path:
        json_path.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    if html_path:
        with _bar() as show:
            html_path.write_text(report(show), encoding="utf-8", errors="replace")


def _be_strict(strict: bool, found: Sequence[Figures]) -> None:
    lacking = sorted(
        {name for each in found for name, figure in each.metrics.items() if figure.status != "ok"}
    )
    if strict and lacking:
        raise ConfigurationError(f"without a value (--strict): {', '.join(lacking)}; the table says why")


@contextmanager
def _needed() -> Iterator[None]:
    """What cannot be imported is told with the command that brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"evaluation is not installed here ({error}): pip install 'dubline[worker,evaluation]'"
        ) from error


@contextmanager
def _bar() -> Iterator[Show]:
    """A bar of what is being looked at, how many frames of it, and of how many."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=None)
        yield lambda name, done, total: progress.update(
            task, description=name, completed=done, total=total or None
        )
