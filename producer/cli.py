"""`dubline`: submit a CSV, see where it stands, fetch what was made; and run it all on one machine."""

import shlex
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr
from rich.console import Group
from rich.text import Text

from contract import traces
from contract.journal import log_as
from contract.ledger import Ledger
from contract.settings import PREFIX, Settings
from contract.storage import Storage
from contract.workers import Roster
from producer import screen, steer
from producer.ab.cli import ab
from producer.api.cli import api, keys
from producer.cells import webhook_of
from producer.check import check, refuse_faults
from producer.commands import FAILED, AsJson, Commands, console_for, tell
from producer.deliveries import deliveries
from producer.demo import run_demo
from producer.doctor import examine
from producer.estimate import estimate
from producer.feeder import serve
from producer.fleet.cli import fleet
from producer.follow import UploadBar, follow, follow_all, looks, scenes
from producer.gallery.page import write_gallery
from producer.local import LocalStack
from producer.names import find_batch
from producer.overview import Overview, Scene
from producer.panorama import batch_picture, panorama
from producer.results import Result, entries, fetch_results
from producer.status import BatchView
from producer.submit import Submission
from producer.submit import submit as submit_checked
from producer.watch import command as watching
from producer.watch.singles import waiting_halves

LOCAL_FOLDER = Path("~/.cache/dubline/local")
GALLERY_ROWS = 200
"""A page of more videos than this is no help to anybody."""

app = typer.Typer(
    name="dubline",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A CSV of video-audio pairs becomes lip-synced videos in S3.",
)


CsvPath = Annotated[
    Path,
    typer.Argument(
        metavar="CSV", show_default=False, help="Columns id,video,audio and options; see README.md."
    ),
]


@app.command()
def submit(
    csv: CsvPath,
    batch: Annotated[str | None, typer.Option(help="Name of the batch; else made from the CSV's.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until every row has ended.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check and estimate.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Submit the good rows all the same.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Render again what has a result.")] = False,
    webhook: Annotated[
        str, typer.Option(metavar="URL", help="Post there when every row has ended.", show_default=False)
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Submit a CSV; the same CSV again is the same batch."""
    settings = Settings.read()
    storage = Storage(settings)
    console = console_for(as_json)
    hook = webhook_of(webhook, settings)
    checked = check(csv, storage, settings)
    if dry_run:
        refuse_faults(checked, skip_bad)
        expected = estimate(checked, settings)
        record = {**asdict(expected), "skipped": [asdict(fault) for fault in checked.faults]}
        tell(screen.estimate_text(expected, checked.faults), record, as_json)
        return
    with traces.traced(settings, "submit"), UploadBar(checked, console) as bar:
        submission = submit_checked(
            checked,
            storage,
            batch=batch,
            skip_bad=skip_bad,
            force=force,
            webhook=hook,
            advance=bar.advance,
        )
    if not wait:
        tell(screen.submission_text(submission), asdict(submission), as_json)
        return
    console.print(screen.submission_text(submission))
    _wait(BatchView(storage, Ledger(settings), submission.batch), submission, as_json)


def _wait(view: BatchView, submission: Submission, as_json: bool) -> None:
    console = console_for(as_json)
    try:
        status = follow(view, console)
    except KeyboardInterrupt:
        console.print(screen.interrupted_text(submission.batch), soft_wrap=True)
        raise
    record = {**asdict(submission), "counts": status.counts}
    tell(screen.batch_table(status), record, as_json)
    if not status.succeeded:
        raise typer.Exit(FAILED)


@app.command()
def status(
    batch: Annotated[str | None, typer.Argument(help="Without it: all batches.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and show what changes.")] = False,
    as_json: AsJson = False,
) -> None:
    """Where batches, workers and the queue stand, or the rows of one batch.

    With --watch until Ctrl-C, or until every row of the batch has ended; with --json too, one object a line.
    """
    settings = Settings.read()
    if batch is None:
        _status_of_all(settings, watch, as_json)
    else:
        storage = Storage(settings)
        view = BatchView(storage, Ledger(settings), find_batch(storage, batch), Roster(settings))
        _status_of_one(view, storage, watch, as_json)


def _status_of_all(settings: Settings, watch: bool, as_json: bool) -> None:
    overview, console = Overview.of(settings), console_for(as_json)
    if not watch:
        _tell_all(overview.look(), settings, as_json)
    elif as_json:
        with suppress(KeyboardInterrupt):  # the ordinary end of this command
            for seen in scenes(overview):
                tell(Text(), seen.record(), as_json)
    else:
        follow_all(overview, console)


def _tell_all(scene: Scene, settings: Settings, as_json: bool) -> None:
    """Everything; where a drop folder is set, also what waits there for its partner."""
    picture, record = panorama(scene, console_for(as_json).width), scene.record()
    if settings.drop is None:
        tell(picture, record, as_json)
        return
    halves = waiting_halves(Storage(settings), settings)
    drop = {"folder": settings.drop, "singles": [each.record() for each in halves]}
    shown = Group(picture, Text(), screen.halves_text(settings.drop, halves))
    tell(shown, {**record, "drop": drop}, as_json)


def _status_of_one(view: BatchView, storage: Storage, watch: bool, as_json: bool) -> None:
    console = console_for(as_json)
    if watch and as_json:
        for seen in looks(view):
            tell(Text(), seen.record(), as_json)
        return
    seen = follow(view, console) if watch else view.look()
    sent = deliveries(storage, view.batch)
    record = {**seen.record(), "webhooks": [asdict(each) for each in sent]}
    tell(batch_picture(seen, console.width, sent), record, as_json)


@app.command()
def results(
    batch: Annotated[str, typer.Argument(help="Name of the batch.")],
    to: Annotated[Path, typer.Option("--to", help="Folder for the videos, manifests and the page.")],
    as_json: AsJson = False,
) -> None:
    """Bring videos and manifests here, and a page that shows them."""
    found: list[Result] = []
    storage = Storage(Settings.read())
    batch = find_batch(storage, batch)
    for each in fetch_results(storage, batch, to):
        found.append(each if len(found) < GALLERY_ROWS else each.light())
    page = write_gallery(to, batch, entries(found))
    record = {"batch": batch, "page": str(page), "rows": [each.record() for each in found]}
    tell(screen.results_text(found, page), record, as_json)
    if any(each.lost for each in found):
        raise typer.Exit(FAILED)


app.command()(api)
app.add_typer(keys, name="keys")
app.add_typer(ab, name="ab")
for each in (*steer.COMMANDS, *watching.COMMANDS):  # in the order in which --help lists them
    app.command()(each)


@app.command()
def up(
    folder: Annotated[Path, typer.Option(help="Where the stack keeps its data.")] = LOCAL_FOLDER,
    workers: Annotated[int, typer.Option(min=0, help="Workers on this machine.")] = 1,
) -> None:
    """Run the embedded stack on this machine until Ctrl-C."""
    console = console_for()
    console.print("starting broker, store, feeder, Flower and the API", style="dim")
    with LocalStack.start(folder, workers=workers, api=True) as stack:
        console.print(_addresses(stack), soft_wrap=True)
        try:
            stack.wait()
        except KeyboardInterrupt:  # the ordinary end of this command
            console.print("stopping", style="dim")


def _addresses(stack: LocalStack) -> Text:
    """Where the services listen, and the lines that point other commands at them."""
    settings = stack.settings
    password = settings.flower_password
    lines = ["ready. Ctrl-C stops it; its data stays in " + str(stack.folder)]
    if stack.flower_url and password:
        lines.append(
            f"Flower: {stack.flower_url}  user {settings.flower_user}  password {password.get_secret_value()}"
        )
    lines.append(f"page and API: {stack.api_url}" if stack.api_url else screen.NO_API)
    lines += [f"Drop folder: {settings.drop}"] if settings.drop else []
    lines += [f"metrics of {name}: {url}" for name, url in stack.metrics_urls.items()]
    lines += ["", "In another terminal:"]
    for name in ("redis_url", "s3_endpoint", "s3_bucket", "s3_access_key", "s3_secret_key"):
        value = getattr(settings, name)
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        lines += [f"  export {PREFIX}{name.upper()}={shlex.quote(text)}"] if text else []
    return Text("\n".join(lines))


@app.command()
def feeder() -> None:
    """Keep the queue fed from the store; any number may run."""
    settings = Settings.read()
    log_as(settings.log_format)
    serve(settings)


app.command()(fleet)


@app.command()
def demo(
    csv: Annotated[Path, typer.Argument(metavar="[CSV]")] = Path("demo/jobs.csv"),
    to: Annotated[Path, typer.Option("--to", help="Folder for the results.")] = Path("demo-out"),
) -> None:
    """Render demo/jobs.csv on an embedded stack, show it as a page."""
    console = console_for()
    shown = run_demo(csv, to, console)
    console.print(screen.results_text(shown.results, shown.page))
    console.print(screen.api_text(shown.api_url), soft_wrap=True)
    if not shown.status.succeeded:
        raise typer.Exit(FAILED)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check what Dubline stands on here, and say what to do."""
    checks = list(examine(Settings.read()))
    tell(screen.checks_table(checks), [asdict(each) for each in checks], as_json)
    if any(each.ok is False for each in checks):
        raise typer.Exit(FAILED)


def main() -> None:
    """The command `dubline`."""
    app()


if __name__ == "__main__":
    main()
