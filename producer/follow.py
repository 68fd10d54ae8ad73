"""What is in motion, an upload or a batch: on a terminal one picture that is redrawn, in a log a line for each change."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from contract.errors import TemporaryFailure
from contract.ledger import ENDED
from producer.check import Checked
from producer.screen import clock, counts_text, eta_text, frames_text, state_text
from producer.status import ACTIVE, BatchStatus, BatchView, RowStatus

REFRESH_SECONDS = 0.5
ACTIVE_SHOWN = 8
ROWS_TOLD = 40
"""In a log, larger batches tell their counts instead of each row."""
TELL_SECONDS = 10.0
"""Shortest pause between two lines of counts."""
BAR_COLUMNS = 28


def follow(
    view: BatchView, console: Console, check_services: Callable[[], None] = lambda: None
) -> BatchStatus:
    """Show a batch until it has ended. `check_services` is called before every look and may raise to give up."""
    looks = _looks(view, check_services)
    return _draw(looks, console) if console.is_terminal else _tell(looks, console)


def _looks(view: BatchView, check_services: Callable[[], None]) -> Iterator[BatchStatus]:
    """The batch again and again, last when it has ended. While the store is away it goes on without us."""
    while True:
        check_services()
        started = time.monotonic()
        with suppress(TemporaryFailure):
            status = view.look()
            yield status
            if status.ended:
                return
        time.sleep(
            max(REFRESH_SECONDS, time.monotonic() - started)
        )  # a large batch is looked at half of the time


def _draw(looks: Iterator[BatchStatus], console: Console) -> BatchStatus:
    started = time.monotonic()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        for status in looks:
            live.update(_picture(status, time.monotonic() - started), refresh=True)
    return status


def _picture(status: BatchStatus, seconds: float) -> Group:
    """The whole batch in one line, and below it the rows that are being worked on."""
    done = sum(_share(row) for row in status.rows)
    head = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=len(status.rows), completed=done, width=BAR_COLUMNS)
    head.add_row(Text(status.batch, "bold"), bar, counts_text(status.counts), Text(clock(seconds), "dim"))
    active = [row for row in status.rows if row.state in ACTIVE]
    body = Table.grid(padding=(0, 2))
    for row in active[:ACTIVE_SHOWN]:
        bar = ProgressBar(total=1.0, completed=_share(row), width=BAR_COLUMNS // 2)
        body.add_row(f"  {row.id}", state_text(row.state), bar, frames_text(row), eta_text(row))
    rest = len(active) - ACTIVE_SHOWN
    return Group(head, body, *([Text(f"  and {rest:,} more", "dim")] if rest > 0 else []))


def _share(row: RowStatus) -> float:
    """How much of a row is done, 0 to 1."""
    if row.state in ENDED:
        return 1.0
    return row.frames / row.total if row.total else 0.0


def _tell(looks: Iterator[BatchStatus], console: Console) -> BatchStatus:
    states: dict[str, str] = {}
    next_counts = 0.0
    for status in looks:
        if len(status.rows) <= ROWS_TOLD:
            for row in status.rows:
                if states.get(row.id) != row.state:
                    console.print(
                        f"{row.id}: {row.state}{f' [{row.error}]' if row.error else ''}", markup=False
                    )
            states = {row.id: row.state for row in status.rows}
        elif status.ended or time.monotonic() >= next_counts:
            console.print(f"{status.batch}: {counts_text(status.counts)}", markup=False)
            next_counts = time.monotonic() + TELL_SECONDS
    return status


class UploadBar:
    """Bytes hashed and uploaded, where a person watches and something local is to be read."""

    def __init__(self, checked: Checked, console: Console) -> None:
        total = sum(path.stat().st_size for path in checked.files if path.is_file())
        columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
        self._progress = Progress(
            *columns, console=console, transient=True, disable=not (console.is_terminal and total)
        )
        self._tasks = {stage: self._progress.add_task(stage, total=total) for stage in ("hashed", "uploaded")}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def advance(self, stage: str, count: int) -> None:
        """More bytes are done."""
        self._progress.advance(self._tasks[stage], count)
