"""What is in motion, an upload or a batch: on a terminal one picture that is redrawn, in a log a line for each change."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from contract.errors import TemporaryFailure
from producer.check import Checked
from producer.overview import Overview, Scene
from producer.panorama import in_a_line, panorama, worker_lines
from producer.screen import clock, counts_text, eta_text, frames_text, state_text
from producer.status import ACTIVE, BatchStatus, BatchView, share_done

REFRESH_SECONDS = 0.5
LOOK_SECONDS = 1.0
"""Pause between two looks at everything."""
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
    seen = looks(view, check_services)
    return _draw(seen, console) if console.is_terminal else _tell(seen, console)


def looks(view: BatchView, check_services: Callable[[], None] = lambda: None) -> Iterator[BatchStatus]:
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
            live.update(_picture(status, time.monotonic() - started, console.width), refresh=True)
    return status


def _picture(status: BatchStatus, seconds: float, width: int) -> Group:
    """The whole batch in one line, below it the rows that are being worked on, and by whom."""
    head = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=len(status.rows), completed=status.share * len(status.rows), width=BAR_COLUMNS)
    head.add_row(Text(status.batch, "bold"), bar, counts_text(status.counts), Text(clock(seconds), "dim"))
    active = [row for row in status.rows if row.state in ACTIVE]
    body = Table.grid(padding=(0, 2))
    for row in active[:ACTIVE_SHOWN]:
        bar = ProgressBar(total=1.0, completed=share_done(row), width=BAR_COLUMNS // 2)
        body.add_row(f"  {row.id}", state_text(row.state), bar, frames_text(row), eta_text(row))
    rest = len(active) - ACTIVE_SHOWN
    more = [Text(f"  and {rest:,} more", "dim")] if rest > 0 else []
    crew = [line for each in status.workers[:ACTIVE_SHOWN] for line in worker_lines(each, width)]
    return Group(head, body, *more, *crew)


def follow_all(overview: Overview, console: Console) -> None:
    """Show everything until Ctrl-C: on a terminal as a screen of its own, in a log as a line now and then."""
    if console.is_terminal:
        _draw_all(overview, console)
    else:
        _tell_all(overview, console)


def scenes(overview: Overview) -> Iterator[Scene]:
    """Everything again and again; while the store is away what was seen last, with a note why there is nothing newer.

    Raises:
        StoreUnavailable: it is away at the first look.
    """
    scene, took = overview.look(), 0.0
    while True:
        yield scene
        time.sleep(max(LOOK_SECONDS, took))
        started = time.monotonic()
        try:
            scene = overview.look()
        except TemporaryFailure as error:
            scene = replace(scene, note=f"as it was before: {error}")
        took = time.monotonic() - started


def _draw_all(overview: Overview, console: Console) -> None:
    last: RenderableType = Text()
    with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False, screen=True) as live:
        for scene in scenes(overview):
            last = panorama(scene, console.width, console.height)
            live.update(last, refresh=True)
    console.print(last)  # what was seen last stays, as after `status` without --watch


def _tell_all(overview: Overview, console: Console) -> None:
    told, next_line = "", 0.0
    with suppress(KeyboardInterrupt):
        for scene in scenes(overview):
            line = in_a_line(scene)
            if line != told and time.monotonic() >= next_line:
                console.print(line, markup=False, soft_wrap=True)
                told, next_line = line, time.monotonic() + TELL_SECONDS


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
