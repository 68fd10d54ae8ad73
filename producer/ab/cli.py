"""`dubline ab make` and `dubline ab count`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from contract.settings import Settings
from contract.storage import Storage
from producer.ab.count import count as count_votes
from producer.ab.make import Made, Order, draw_study
from producer.ab.make import make as make_study
from producer.ab.study import System, read_study
from producer.ab.votes import read_ballot
from producer.ab.words import count_picture, made_text, write_results
from producer.commands import AsJson, console_for, tell
from producer.names import find_batch

ab = typer.Typer(no_args_is_help=True, help="Let people compare two batches, blind, and count their votes.")

BatchA = Annotated[str, typer.Argument(metavar="BATCH_A", show_default=False, help="One system's batch.")]
BatchB = Annotated[
    str, typer.Argument(metavar="BATCH_B", show_default=False, help="The other's, of the same row ids.")
]


@ab.command("make")
def make(
    batch_a: BatchA,
    batch_b: BatchB,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="For raters: a page and its videos.")
    ],
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="What made which video. Default: FOLDER.key.json.", show_default=False
        ),
    ] = None,
    name_a: Annotated[
        str | None, typer.Option(help="What results call BATCH_A; raters never see it.", show_default=False)
    ] = None,
    name_b: Annotated[str | None, typer.Option(help="Likewise BATCH_B.", show_default=False)] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of order and sides. Default: any.", show_default=False)
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many pairs, drawn at random.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a page on which raters compare two batches.

    Rows of the same id and audio, in random order, on random sides. The folder works from a disk or any web server.
    The key beside it stays here. The same command again goes on where it was interrupted.
    """
    storage = Storage(Settings.read())
    a, b = (find_batch(storage, each) for each in (batch_a, batch_b))
    order = Order(
        a=System(name=name_a or a, batch=a),
        b=System(name=name_b or b, batch=b),
        folder=output,
        key=key or _beside(output),
        seed=seed,
        limit=limit,
    )
    made = _make(storage, order, as_json)
    tell(made_text(made), made.record(), as_json)


def _beside(folder: Path) -> Path:
    """Where the key of a folder lies, also of one that is called `.`"""
    whole = folder.resolve()
    return whole.parent / f"{whole.name}.key.json"


def _make(storage: Storage, order: Order, as_json: bool) -> Made:
    """With a bar, where a person watches."""
    drawn = draw_study(storage, order)
    console = console_for(as_json)
    columns = TextColumn("fetched"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("fetched", total=drawn.bytes)
        return make_study(storage, order, drawn, lambda more: bar.advance(task, more))


@ab.command("count")
def count(
    votes: Annotated[
        list[Path], typer.Argument(metavar="VOTES.csv...", show_default=False, help="What raters sent back.")
    ],
    key: Annotated[Path, typer.Option(metavar="FILE", help="The key of their study.")],
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv", metavar="FILE", help="Write each vote with the name of its system.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count raters' votes: wins, intervals and a sign test.

    A winner is named where the pairs, each by the majority of its raters, speak for one with p < 0.05.
    """
    study = read_study(key)
    counted = count_votes(study, read_ballot(votes, study))
    if csv:
        write_results(counted, csv)
    tell(count_picture(counted), counted.record(), as_json)
