"""The commands that steer what was submitted: cancel, requeue, failed, show, logs, resume, sweep."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer
from rich.text import Text

from contract import traces
from contract.errors import BadRequest, BatchConflict
from contract.journal import log_as
from contract.ledger import Ledger
from contract.settings import Settings
from contract.storage import Storage
from producer import screen
from producer.cancel import cancel_rows
from producer.closeup import attempt_heading, job_picture, line_text, logs_picture
from producer.commands import FAILED, AsJson, console_for, tell
from producer.failed import failed_rows
from producer.feeder import resume as feed_until_ended
from producer.logs import JobLog, Said, chosen, said
from producer.names import find_batch
from producer.requeue import requeue_rows
from producer.show import show as look_up
from producer.sweep import sweep as remove_old

BatchName = Annotated[
    str, typer.Argument(metavar="BATCH", show_default=False, help="Its name, or enough of its beginning.")
]
RowNames = Annotated[
    list[str] | None,
    typer.Argument(metavar="ROW", show_default=False, help="Ids of rows; without any: all."),
]
Named = Annotated[
    str,
    typer.Argument(metavar="BATCH|JOB", show_default=False, help="A batch, or a job by its first digits."),
]
RowOfBatch = Annotated[
    str | None, typer.Argument(metavar="ROW", show_default=False, help="The row of the batch.")
]
SWEEP_DAYS = 7.0


def cancel(batch: BatchName, rows: RowNames = None, as_json: AsJson = False) -> None:
    """Cancel a batch, or rows of it; `requeue` takes it back.

    What waits is not begun, what runs stops within seconds, what has ended keeps its result.
    """
    storage, ledger = _open()
    done = cancel_rows(storage, ledger, find_batch(storage, batch), rows or ())
    tell(screen.cancellation_text(done), asdict(done), as_json)


def requeue(
    batch: BatchName,
    rows: RowNames = None,
    code: Annotated[str | None, typer.Option(help="Only rows that ended with this code of error.")] = None,
    as_json: AsJson = False,
) -> None:
    """Render rows after all that failed or were cancelled.

    Their results so far become history of the attempts that made them, and attempts are counted from the start again.
    """
    storage, ledger = _open()
    done = requeue_rows(storage, ledger, find_batch(storage, batch), rows or (), code)
    tell(screen.requeue_text(done), asdict(done), as_json)


def failed(batch: BatchName, as_json: AsJson = False) -> None:
    """List the rows that failed, and why.

    With --json also the keys of their attempts' logs in the bucket.
    """
    storage = Storage(Settings.read())
    name = find_batch(storage, batch)
    rows = list(failed_rows(storage, name))
    tell(screen.failed_table(name, rows), {"batch": name, "rows": [asdict(each) for each in rows]}, as_json)


def show(
    name: Named,
    row: RowOfBatch = None,
    as_json: AsJson = False,
) -> None:
    """Show everything about one job, and what to do.

    What was asked for, where it stands, each attempt at it with the end of its log.
    """
    storage, ledger = _open()
    view = look_up(storage, ledger, name, row)
    tell(job_picture(view), view.record(), as_json)


def logs(
    name: Named,
    row: RowOfBatch = None,
    attempt: Annotated[
        str | None, typer.Option(help="Only this one: its place from 1, or its id.", show_default=False)
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what the attempts at one job logged, oldest first.

    Of one that runs what it has logged so far; with --follow also what it is still to log. With --json one object a line.
    """
    if follow and attempt:
        raise BadRequest("--follow goes through all attempts from the first one on; leave --attempt out")
    log = JobLog(Settings.read(), name, row)
    with suppress(KeyboardInterrupt):  # an ordinary end of --follow
        if follow or as_json:
            _tell_lines(log.follow() if follow else _all_said(log, attempt), as_json)
        else:
            console_for().print(logs_picture(chosen(log.attempts(), attempt, log.job)), soft_wrap=True)
    if not log.is_live:
        away = "Redis is away (see DUBLINE_REDIS_URL): what running attempts log is not known"
        console_for(as_json=True).print(Text(away, "yellow"))


def _all_said(log: JobLog, attempt: str | None) -> Iterator[Said]:
    for each in chosen(log.attempts(), attempt, log.job):
        yield from said(each, each.lines)


def _tell_lines(lines: Iterator[Said], as_json: bool) -> None:
    heading = ""
    for each in lines:
        if not as_json and each.attempt.id != heading:
            heading = each.attempt.id
            tell(attempt_heading(each.attempt), {}, as_json)
        tell(line_text(each.line), each.record(), as_json)


def resume(batch: BatchName, as_json: AsJson = False) -> None:
    """Feed one batch from here until it has ended.

    Beside any feeders or without one; workers must run. Exit code 0: every row has its video.
    """
    settings = Settings.read()
    log_as(settings.log_format)
    name = find_batch(Storage(settings), batch)
    try:
        with traces.traced(settings, "feeder"):
            summary = feed_until_ended(settings, name)
    except KeyboardInterrupt:
        console_for(as_json).print(f"\nbatch {name} is fed from here no more; other feeders go on")
        raise
    if summary is None:  # somebody requeued rows of it in this moment
        raise BatchConflict(f"rows of batch {name} were requeued meanwhile; resume it again")
    tell(screen.summary_text(summary), summary.model_dump(mode="json"), as_json)
    if summary.succeeded < summary.rows:
        raise typer.Exit(FAILED)


def sweep(
    days: Annotated[
        float, typer.Option(help="What was written in the last so many days stays.")
    ] = SWEEP_DAYS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what old attempts and uploads left behind.

    Files of attempts that no manifest names, finished parts of ended jobs, uploads in parts that nobody completed.
    """
    if not days >= 1:
        raise BadRequest(f"--days is {days:g}; it must be at least 1, for younger files may yet be named")
    swept = remove_old(Storage(Settings.read()), timedelta(days=days), dry_run)
    tell(screen.swept_text(swept, dry_run), {**asdict(swept), "dry_run": dry_run}, as_json)


COMMANDS = (cancel, requeue, failed, show, logs, resume, sweep)


def _open() -> tuple[Storage, Ledger]:
    settings = Settings.read()
    return Storage(settings), Ledger(settings)
