"""What the commands show to a person: a few words and plain tables."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from contract.checks import Check
from contract.errors import Fault
from contract.ledger import ENDED
from contract.manifest import Manifest
from contract.summary import Summary
from producer.cancel import Cancellation
from producer.deliveries import DeliveryView, last_of_rows
from producer.estimate import Estimate
from producer.failed import FailedRow
from producer.requeue import Requeue
from producer.results import Result
from producer.status import ACTIVE, BatchStatus, RowState, RowStatus
from producer.submit import Submission
from producer.sweep import Swept
from producer.watch.names import Half

ROWS_SHOWN = 40
NAMES_SHOWN = 10
NO_API = "no page and no API here: pip install 'dubline[api]'"
DASH = "–"

_STYLES: dict[RowState, str] = {
    "waiting": "dim",
    "queued": "dim",
    "later": "yellow",
    "stopping": "yellow",
    "done": "green",
    "failed": "red",
    "cancelled": "yellow",
}


def count(number: int, thing: str) -> str:
    """A number and its thing: 1 row, 3 rows."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def clock(seconds: float) -> str:
    """Minutes and seconds as 1:05, with hours as 1:00:05."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def state_text(state: RowState) -> Text:
    """The state in its colour."""
    return Text(state, _STYLES.get(state, "cyan"))


def counts_text(counts: Mapping[RowState, int]) -> Text:
    """Rows by state: 2 done · 1 failed."""
    parts = [Text(f"{number:,} {state}", _STYLES.get(state, "cyan")) for state, number in counts.items()]
    return Text(" · ").join(parts)


def frames_text(row: RowStatus) -> str:
    """Frames done of all, and how fast."""
    if not row.total:
        return DASH
    pace = f"  {row.fps:.0f} fps" if row.fps else ""
    return f"{row.frames:,}/{row.total:,}{pace}"


def eta_text(row: RowStatus) -> str:
    """How long it will take."""
    return DASH if row.eta_seconds is None else f"{clock(row.eta_seconds)} left"


def trouble_text(row: RowStatus) -> str:
    """Why a row failed or is not being worked on, and how often it was tried before; empty where all is well."""
    if row.state == "cancelled":  # as its state says
        return ""
    parts = [row.error] if row.error else []
    if row.state == "later":
        parts.append(f"tried {times(row.attempts)}, again in {clock(row.later_seconds or 0)}")
    elif row.state in ENDED:
        parts += [f"attempt {row.attempts}"] if row.attempts > 1 else []
    elif row.attempts:
        parts.append(f"tried {times(row.attempts)} before")
    return ", ".join(parts)


def times(number: int) -> str:
    """How often: once, twice, 3 times."""
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


def halves_text(folder: str, halves: Sequence[Half]) -> Text:
    """What waits for its partner in the drop folder, each in a line."""
    if not halves:
        return Text(f"{folder}: nothing waits for its partner", "dim")
    now = datetime.now(UTC)
    verb = "waits for its partner" if len(halves) == 1 else "wait for their partners"
    lines = [f"{folder}: {len(halves):,} {verb}"]
    lines += [
        f"  {each.name}: has {each.has}, needs {each.needs}, for {clock(max(0.0, (now - each.since).total_seconds()))}"
        for each in halves[:ROWS_SHOWN]
    ]
    lines += [f"  and {len(halves) - ROWS_SHOWN:,} more"] if len(halves) > ROWS_SHOWN else []
    return Text("\n".join(lines), "yellow")


def submission_text(submission: Submission) -> Text:
    """What became of a submission, in one to three lines."""
    lines = [f"batch {submission.batch}: {count(submission.rows, 'row')} submitted"]
    if submission.already:
        lines = [f"batch {submission.batch}: already submitted, nothing repeated"]
    if submission.uploaded_files:
        lines.append(
            f"{count(submission.uploaded_files, 'file')} uploaded, {submission.uploaded_bytes / 1e6:,.1f} MB"
        )
    if not submission.pinned:
        lines.append(
            "too many stored inputs to look at each (pin_limit): their keys alone are their identity"
        )
    lines += [f"skipped {fault}" for fault in submission.skipped]
    text = Text("\n".join(lines))
    if unhappy := _unhappy(submission):
        text.append(f"\n{unhappy}", "yellow")
    return text


def _unhappy(submission: Submission) -> str:
    """What is not rendered although it was submitted, and how it would be."""
    counts = {"failed": submission.failed, "was cancelled": submission.cancelled}
    parts = [f"{count(number, 'row')} {fate}" for fate, number in counts.items() if number]
    if not parts:
        return ""
    fates = " and ".join(parts).replace("rows was", "rows were")
    return (
        f"{fates} before: nothing is tried again before you say so, with `dubline requeue {submission.batch}`"
    )


def cancellation_text(done: Cancellation) -> Text:
    """What became of a wish to cancel, and how to take it back."""
    if not done.running + done.waiting:
        return Text(f"batch {done.batch}: nothing to cancel, {count(done.ended, 'row')} had ended before")
    lines = [f"batch {done.batch}: {count(done.running + done.waiting, 'row')} cancelled"]
    if done.running:
        lines.append(
            f"{'1 of them runs and stops' if done.running == 1 else f'{done.running:,} of them run and stop'} within seconds"
        )
    if done.ended:
        lines.append(f"{count(done.ended, 'row')} had ended and {_keep(done.ended)} result")
    text = Text("\n".join(lines))
    if not done.told:
        text.append("\nRedis is away: what is running stops when the feeder reaches it again", "yellow")
    return text.append(f"\nto render them after all: dubline requeue {done.batch}", "dim")


def requeue_text(done: Requeue) -> Text:
    """What became of the wish to render rows after all."""
    lines = [f"batch {done.batch}: {count(len(done.requeued), 'row')} requeued{_first_names(done.requeued)}"]
    if not done.requeued:
        lines = [f"batch {done.batch}: nothing to requeue, for no such row failed or was cancelled"]
    if done.unended:
        lines.append(f"{count(done.unended, 'row')} had no result yet: nothing to move aside")
    if done.unended and done.wanted_again:
        lines.append(
            "the wish to cancel is taken back; a row that was being stopped may still end as cancelled"
        )
    if done.succeeded:
        lines.append(
            f"{count(done.succeeded, 'row')} succeeded and {_keep(done.succeeded)} video; "
            "`dubline submit --force` renders anew"
        )
    text = Text("\n".join(lines))
    if done.requeued:
        text.append(f"\nto see them go: dubline status {done.batch} --watch", "dim")
    return text


def _keep(number: int) -> str:
    return "keeps its" if number == 1 else "keep their"


def _first_names(names: Sequence[str]) -> str:
    rest = ", ..." if len(names) > NAMES_SHOWN else ""
    return f": {', '.join(names[:NAMES_SHOWN])}{rest}" if names else ""


def failed_table(batch: str, rows: Sequence[FailedRow]) -> RenderableType:
    """Why each row failed, and what to type next."""
    if not rows:
        return Text(f"batch {batch}: no row has failed")
    table = Table(box=SIMPLE_HEAD)
    table.add_column("row", overflow="fold")
    table.add_column("code", style="red", no_wrap=True)
    table.add_column("attempts", justify="right")
    table.add_column("message", overflow="fold")
    for each in rows[:ROWS_SHOWN]:
        table.add_row(Text(each.row), each.code, f"{each.attempts}", Text(each.message))
    parts: list[RenderableType] = [
        Text.assemble((batch, "bold"), f"  {count(len(rows), 'row')} failed"),
        table,
    ]
    if len(rows) > ROWS_SHOWN:
        parts.append(Text(f"and {count(len(rows) - ROWS_SHOWN, 'row')} more; --json lists all", "dim"))
    logs = sum(len(each.logs) for each in rows)
    where = f"logs of {count(logs, 'attempt')}, their last lines: dubline show {batch} ROW" if logs else ""
    hints = [where, f"to try them again: dubline requeue {batch} [ROW...] [--code CODE]"]
    return Group(*parts, Text("\n".join(filter(None, hints)), "dim"))


def interrupted_text(batch: str) -> Text:
    """What goes on without the one who pressed Ctrl-C."""
    return Text(
        f"\nbatch {batch} goes on without this terminal\n"
        f"to follow it: dubline status {batch} --watch\n"
        f"to stop it: dubline cancel {batch}"
    )


def swept_text(swept: Swept, dry_run: bool) -> Text:
    """What was removed, or would be."""
    verb = "would be removed" if dry_run else "removed"
    return Text(
        f"{count(swept.objects, 'object')} of {swept.bytes / 1e6:,.1f} MB and "
        f"{count(swept.uploads, 'unfinished upload')} {verb}"
    )


def summary_text(summary: Summary) -> Text:
    """What became of a batch that has ended."""
    counts: dict[RowState, int] = {
        "done": summary.succeeded,
        "failed": summary.failed,
        "cancelled": summary.cancelled,
    }
    shown = counts_text({state: number for state, number in counts.items() if number})
    return Text.assemble((summary.batch, "bold"), "  ", shown)


def batch_table(status: BatchStatus, sent: Sequence[DeliveryView] = ()) -> Group:
    """One line a row: of large batches those that move or failed come first, and the rest is counted.

    Where there are events for webhooks, how far they are.
    """
    events = last_of_rows(sent)
    table = Table(box=SIMPLE_HEAD)
    table.add_column("row", overflow="fold")
    table.add_column("state")
    table.add_column("frames", justify="right")
    table.add_column("left", justify="right")
    table.add_column("", overflow="fold")
    if events.keys() - {None}:
        table.add_column("webhook", overflow="fold")
    shown = status.rows if len(status.rows) <= ROWS_SHOWN else _most_telling(status.rows)
    for row in shown:
        eta = DASH if row.eta_seconds is None else clock(row.eta_seconds)
        trouble = Text(trouble_text(row), "yellow" if row.state != "failed" else "red")
        hook = [delivery_text(events[row.id])] if row.id in events else []
        table.add_row(Text(row.id), state_text(row.state), frames_text(row), eta, trouble, *hook)
    parts: list[RenderableType] = [
        Text.assemble((status.batch, "bold"), "  ", counts_text(status.counts)),
        table,
    ]
    if len(shown) < len(status.rows):
        parts.append(Text(f"and {count(len(status.rows) - len(shown), 'row')} more; --json lists all", "dim"))
    if None in events:
        parts.append(Text.assemble(("webhook of the batch  ", "dim"), delivery_text(events[None])))
    if not status.live:
        parts.append(Text("Redis is away: only what has ended is known (see DUBLINE_REDIS_URL)", "yellow"))
    return Group(*parts)


def delivery_text(view: DeliveryView) -> Text:
    """How far an event is on its way."""
    colour = {"delivered": "green", "failed": "red"}.get(view.state, "yellow" if view.tries else "dim")
    parts: list[str] = [view.state]
    if view.state != "delivered":
        parts += [f"tried {times(view.tries)}"] if view.tries else []
        parts += [view.last] if view.last else []
        parts += [f"again in {clock(view.next_seconds)}"] if view.next_seconds and view.tries else []
    return Text(", ".join(parts), colour)


def _most_telling(rows: Sequence[RowStatus]) -> list[RowStatus]:
    order: dict[RowState, int] = {
        "failed": 1,
        "later": 1,
        "cancelled": 2,
        "queued": 3,
        "waiting": 4,
        "done": 5,
    }
    return sorted(rows, key=lambda row: 0 if row.state in ACTIVE else order[row.state])[:ROWS_SHOWN]


def results_text(results: Sequence[Result], page: Path) -> Group:
    """The rows that have ended, what went wrong with some, and where the page is."""
    shown = [each for each in results if each.manifest][:ROWS_SHOWN]
    problems = [each for each in results if each.problem]
    pending = sum(each.status is None for each in results)
    rest = len(results) - pending - len(shown)
    parts: list[RenderableType] = [_results_table(shown)]
    parts += [Text(f"and {count(rest, 'row')} more; --json lists all", "dim")] if rest else []
    parts += [Text(f"{each.row}: {each.problem}", "red") for each in problems[:ROWS_SHOWN]]
    parts += [Text(f"{count(pending, 'row')} not ended yet", "yellow")] if pending else []
    return Group(*parts, Text.assemble("open ", (str(page), "bold")))


def api_text(url: str | None) -> Text:
    """Where the page was, and how it comes back."""
    if url is None:
        return Text(NO_API, "dim")
    return Text.assemble(
        f"the page and API at {url} ended with this stack; ", ("dubline up", "bold"), " starts them to stay"
    )


def _results_table(results: Iterable[Result]) -> Table:
    """One line a row with the manifest's figures."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("row", overflow="fold")
    table.add_column("status")
    for name in ("seconds", "frames", "sync", "lag", "cost"):
        table.add_column(name, justify="right")
    for each in results:
        if each.manifest:
            table.add_row(Text(each.row), *_figures(each.manifest))
    return table


def _figures(manifest: Manifest) -> tuple[RenderableType, ...]:
    colour = {"succeeded": "green", "failed": "red"}.get(manifest.status, "yellow")
    sync, cost = manifest.sync_check, manifest.cost
    return (
        Text(manifest.status, colour),
        f"{cost.seconds:.1f}" if cost else DASH,
        f"{manifest.output.frames:,}" if manifest.output else DASH,
        f"{sync.correlation:.2f}" if sync and sync.correlation is not None else DASH,
        f"{sync.lag_frames:+d}".replace("+0", "0") if sync and sync.lag_frames is not None else DASH,
        f"{cost.amount:.4f} {cost.currency}" if cost else DASH,
    )


def estimate_text(estimate: Estimate, skipped: Iterable[Fault]) -> Text:
    """What would run, and on what the figures rest."""
    known = estimate.rows - estimate.unknown_rows
    lines = [f"{count(estimate.rows, 'job')} would be submitted; nothing was uploaded"]
    if known:
        cost = f"{estimate.cost:,.{2 if estimate.cost >= 1 else 4}f} {estimate.currency}"
        lines.append(
            f"{count(known, 'job')}: about {estimate.output_seconds / 60:,.1f} minutes of output, "
            f"{estimate.worker_seconds / 60:,.1f} minutes of worker time, {cost}"
        )
    if estimate.unknown_rows:
        unknown = count(estimate.unknown_rows, "job")
        lines.append(f"{unknown}: length unknown, for only the headers of local WAV files are read here")
    lines += [f"skipped {fault}" for fault in skipped]
    text = Text("\n".join(lines))
    for each in estimate.assumptions:
        text.append(f"\nassumed: {each}", "dim")
    return text


def checks_table(checks: Iterable[Check]) -> Table:
    """One line a check, and below each that failed what to do."""
    table = Table.grid(padding=(0, 2))
    marks = {True: Text("ok", "green"), False: Text("FAILED", "bold red"), None: Text(DASH, "dim")}
    for check in checks:
        table.add_row(marks[check.ok], Text(check.name, "bold"), Text(check.detail))
        if check.remedy:
            table.add_row("", "", Text(check.remedy, "yellow" if check.ok is False else "dim"))
    return table
