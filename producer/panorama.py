"""What `dubline status` shows of everything: batches, workers and the queue, on a screen of 80 columns or of 200."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from contract.ledger import ENDED
from contract.queue import QueueFigures
from contract.workers import Doing, Worker
from producer.deliveries import DeliveryView
from producer.overview import Scene
from producer.screen import DASH, batch_table, clock, counts_text
from producer.status import BatchCounts, BatchStatus, RowState

WIDE = 160
"""From so many columns on, all of a batch or a worker stands in one line; else in two."""
GIB = 2**30
NO_LIMIT = 1_000_000
BAR_COLUMNS = 12
REDIS_AWAY = "Redis is away (see DUBLINE_REDIS_URL)"

_STYLES: dict[Doing, str] = {"busy": "cyan", "idle": "green", "stopping": "yellow", "unknown": "red"}

Cell = tuple[RenderableType, int, Literal["left", "right"]]
"""What it shows, in how many columns, and at which side of them."""


def panorama(scene: Scene, width: int, lines: int = NO_LIMIT) -> Group:
    """Everything in at most so many lines; where they do not suffice, what is at work comes first, the rest is counted."""
    notes = [Text(scene.note, "yellow", no_wrap=True, overflow="ellipsis")] if scene.note else []
    left = lines - len(notes) - len(("batches", "", "workers", "", "queue"))
    crew = _at_work_first(scene.workers)
    room = max(left // 2, left - _lines_of(scene.batches, width))
    shown = crew[: _fitting([_worker_lines(width)] * len(crew), room)]
    left -= len(shown) * _worker_lines(width) + (len(shown) < len(crew))
    return Group(
        *notes,
        _heading("batches", _batches_summary(scene)),
        *_batches(scene, width, left),
        Text(),
        _heading("workers", _workers_summary(scene)),
        *(line for each in shown for line in worker_lines(each, width)),
        *_rest(len(crew) - len(shown), "workers"),
        Text(),
        _heading("queue", queue_text(scene.queue)),
    )


def _heading(title: str, text: Text) -> Text:
    return Text.assemble((f"{title:<9}", "bold"), text, no_wrap=True, overflow="ellipsis")


def _rest(number: int, things: str) -> Iterator[Text]:
    if number > 0:
        yield Text(f"  {number:,} more {things}; --json lists all", "dim")


def _fitting(heights: Sequence[int], lines: int) -> int:
    """How many of the things that high fit, with one line for a word on those that do not."""
    if sum(heights) <= lines:
        return len(heights)
    fitting, used = 0, 1
    for height in heights:
        used += height
        if used > lines:
            break
        fitting += 1
    return fitting


def _line(width: int, *cells: Cell, indent: int = 0) -> Table:
    """One line of cells; one whose columns are 0 gets those that are left."""
    spare = width - indent - sum(columns for _, columns, _ in cells) - (len(cells) - 1)
    table = Table.grid(padding=(0, 1, 0, 0))
    if indent:
        table.add_column(width=indent - 1)
    for _, columns, side in cells:
        table.add_column(width=columns or max(spare, 1), justify=side, no_wrap=True, overflow="ellipsis")
    table.add_row(*([""] if indent else []), *(shown for shown, _, _ in cells))
    return table


# --- batches


def _batches_summary(scene: Scene) -> Text:
    if not scene.batches:
        return Text("none yet; `dubline submit` makes one", "dim")
    still_open = sum(not each.ended for each in scene.batches)
    return Text(f"{still_open:,} open · {len(scene.batches) - still_open:,} ended", "dim")


def _lines_of(batches: Sequence[BatchCounts], width: int) -> int:
    return sum(_batch_height(each, width) for each in batches)


def _batch_height(batch: BatchCounts, width: int) -> int:
    return 1 if width >= WIDE or batch.ended else 2


def _batches(scene: Scene, width: int, lines: int) -> Iterator[RenderableType]:
    """Those that are open before those that ended, and of each the newest first."""
    newest = sorted(scene.batches, key=lambda each: scene.submitted[each.batch], reverse=True)
    ranked = sorted(newest, key=lambda each: each.ended)
    shown = ranked[: _fitting([_batch_height(each, width) for each in ranked], lines)]
    for each in shown:
        yield from _batch_lines(each, width)
    yield from _rest(len(ranked) - len(shown), "batches")


def _batch_lines(batch: BatchCounts, width: int) -> Iterator[Table]:
    ended = sum(number for state, number in batch.counts.items() if state in ENDED)
    name, counts, minutes = Text(batch.batch), counts_text(_failed_first(batch)), _minutes(batch)
    figures: list[Cell] = [
        (_bar(batch.share), BAR_COLUMNS, "left"),
        (f"{ended:,}/{batch.rows:,}", 14, "right"),
        (minutes, 11, "right"),
        (_eta(batch), 13, "right"),
    ]
    if width >= WIDE:
        yield _line(width, (name, 46, "left"), *figures, ("", 1, "left"), (counts, 0, "left"), indent=2)
    elif batch.ended:
        yield _line(width, (name, 0, "left"), (counts, 30, "right"), (minutes, 11, "right"), indent=2)
    else:
        yield _line(width, (name, 0, "left"), *figures, indent=2)
        yield _line(width, (counts, 0, "left"), indent=4)


def _failed_first(batch: BatchCounts) -> dict[RowState, int]:
    """Its counts; where there is no room for all, those of the rows in trouble are the last to go."""
    return dict(sorted(batch.counts.items(), key=lambda each: each[0] != "failed"))


def _bar(share: float) -> ProgressBar:
    return ProgressBar(
        total=1.0, completed=share, width=BAR_COLUMNS, complete_style="cyan", finished_style="green"
    )


def _minutes(batch: BatchCounts) -> str:
    return DASH if batch.minutes is None else f"{batch.minutes:,.1f} min"


def _eta(batch: BatchCounts) -> str:
    if batch.ended:
        return ""
    return DASH if batch.eta_seconds is None else f"{clock(batch.eta_seconds)} left"


# --- workers


def _workers_summary(scene: Scene) -> Text:
    if not scene.live:
        return Text(REDIS_AWAY, "yellow")
    if not scene.workers:
        return Text("none; `dubline up` starts one, or `celery -A worker.app worker`", "yellow")
    counted = Counter(each.doing for each in scene.workers)
    parts = [Text(f"{counted[doing]:,} {doing}", style) for doing, style in _STYLES.items() if counted[doing]]
    return Text(" · ").join(parts)


def _at_work_first(workers: Sequence[Worker]) -> list[Worker]:
    return sorted(workers, key=lambda each: (each.job is None, each.name))


def _worker_lines(width: int) -> int:
    return 1 if width >= WIDE else 2


def worker_lines(worker: Worker, width: int) -> Iterator[Table]:
    """One worker: its name, what it does and since when, its device and memory, its job, and how fast that goes."""
    doing: Cell = (Text(f"{worker.doing} {clock(worker.since_seconds)}", _STYLES[worker.doing]), 17, "left")
    device: Cell = (Text(worker.device or DASH, "" if worker.device else "dim"), 24, "left")
    pace: list[Cell] = [
        (worker.stage or "", 10, "left"),
        (f"{worker.frames:,}/{worker.total:,}" if worker.total else "", 15, "right"),
        (f"{worker.fps:.0f} fps" if worker.fps else "", 8, "right"),
    ]
    name, memory, job = Text(worker.name), _memory(worker), Text(_job(worker))
    if width >= WIDE:
        yield _line(
            width, (name, 30, "left"), doing, device, (memory, 15, "left"), (job, 0, "left"), *pace, indent=2
        )
    else:
        yield _line(width, (name, 24, "left"), doing, (job, 0, "left"), indent=2)
        yield _line(width, (device[0], 0, "left"), (memory, 14, "left"), *pace, indent=4)


def _memory(worker: Worker) -> str:
    """Of its GPU, used of all."""
    if worker.gpu_used_bytes is None or worker.gpu_bytes is None:
        return ""
    return f"{worker.gpu_used_bytes / GIB:.1f}/{worker.gpu_bytes / GIB:.1f} GiB"


def _job(worker: Worker) -> str:
    if worker.doing == "unknown":
        return "its record is of another version"
    return f"{worker.row} of {worker.batch}" if worker.row else ""


def batch_picture(status: BatchStatus, width: int, sent: Sequence[DeliveryView] = ()) -> Group:
    """The rows of one batch, how far its webhooks are, and who works on it."""
    return Group(
        batch_table(status, sent), *(line for each in status.workers for line in worker_lines(each, width))
    )


# --- the queue


def queue_text(queue: QueueFigures | None) -> Text:
    """What waits, by how urgent it is, what is held, and since when the oldest waits."""
    if queue is None:
        return Text(REDIS_AWAY, "yellow")
    waiting = " · ".join(f"{number:,} {name}" for name, number in queue.waiting.items() if number)
    parts = [f"{queue.depth:,} waiting{f': {waiting}' if waiting else ''}", f"{queue.held:,} held"]
    if queue.oldest_seconds is not None:
        parts.append(f"oldest {clock(queue.oldest_seconds)}")
    return Text("   ").join(map(Text, parts))


def in_a_line(scene: Scene) -> str:
    """For a log."""
    if scene.note:
        return scene.note
    batches = ", ".join(
        f"{each.batch} {counts_text(each.counts)}" for each in scene.batches if not each.ended
    )
    parts = (
        batches or "no open batch",
        f"workers {_workers_summary(scene)}",
        f"queue {queue_text(scene.queue)}",
    )
    return " | ".join(parts)
