"""Everything as a picture, on screens of 80 and of 200 columns."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from contract.queue import QueueFigures
from contract.workers import Worker
from producer.overview import Scene
from producer.panorama import batch_picture, in_a_line, panorama
from producer.status import BatchCounts, BatchStatus, RowStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GIB = 2**30
QUEUE = QueueFigures({"urgent": 1, "high": 2, "normal": 0, "low": 1}, 2, 12.4)
NIGHTLY = BatchCounts(
    "nightly", 120, {"waiting": 75, "generating": 2, "done": 42, "failed": 1}, 0.36, 52.3, 1250.0
)
ENDED = BatchCounts("lessons", 40, {"done": 38, "failed": 2}, 1.0, 40.1)
BUSY = Worker(
    "worker1@gpu-01", "gpu-01", "busy", 65.2, "NVIDIA L4", int(9.1 * GIB), int(22.5 * GIB), {},
    "nightly", "lesson-01", "j", "a", "generating", 480, 1500, 32.4,
)  # fmt: skip
IDLE = Worker("worker2@gpu-01", "gpu-01", "idle", 750.0)
FOREIGN = Worker("worker3@gpu-01")


def scene(batches=(NIGHTLY, ENDED), workers=(IDLE, BUSY, FOREIGN), queue=QUEUE, **more):
    ages = {each.batch: NOW - timedelta(hours=number) for number, each in enumerate(batches)}
    return Scene(list(batches), ages, list(workers), queue, **more)


def drawn(shown, width, height=1000):
    console = Console(file=io.StringIO(), width=width)
    console.print(panorama(shown, width, height))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_eighty_columns_show_a_batch_and_a_worker_in_two_lines():
    assert drawn(scene(), 80) == [
        "batches  1 open · 1 ended",
        "  nightly                  ━━━━                 43/120    52.3 min    20:50 left",
        "    1 failed · 75 waiting · 2 generating · 42 done",
        "  lessons                                         2 failed · 38 done    40.1 min",
        "",
        "workers  1 busy · 1 idle · 1 unknown",
        "  worker1@gpu-01           busy 1:05         lesson-01 of nightly",
        "    NVIDIA L4                 9.1/22.5 GiB   generating       480/1,500   32 fps",
        "  worker2@gpu-01           idle 12:30",
        "    –",
        "  worker3@gpu-01           unknown 0:00      its record is of another version",
        "    –",
        "",
        "queue    4 waiting: 1 urgent · 2 high · 1 low   2 held   oldest 0:12",
    ]


def test_two_hundred_columns_show_each_in_one_line():
    lines = drawn(scene(), 200)
    assert len(lines) == 10
    assert lines[1].split() == [
        *("nightly", "━━━━", "43/120", "52.3", "min", "20:50", "left"),
        *("1", "failed", "·", "75", "waiting", "·", "2", "generating", "·", "42", "done"),
    ]
    assert lines[5].split() == [
        *("worker1@gpu-01", "busy", "1:05", "NVIDIA", "L4", "9.1/22.5", "GiB"),
        *("lesson-01", "of", "nightly", "generating", "480/1,500", "32", "fps"),
    ]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50), (80, 12), (70, 24)])
@pytest.mark.parametrize("note", ["", "as it was before: S3 does not answer"])
def test_a_picture_fits_its_screen_and_says_what_it_leaves_out(width, height, note):
    many = scene(
        [NIGHTLY, *(BatchCounts(f"b{number:02}", 10, {"done": 10}, 1.0, 5.0) for number in range(60))],
        [Worker(f"w{number:02}@h", "h", "idle") for number in range(60)],
        note=note,
    )
    lines = drawn(many, width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert sum("more batches; --json lists all" in line for line in lines) == 1
    assert sum("more workers; --json lists all" in line for line in lines) == 1
    assert sum("nightly" in line for line in lines) == 1
    assert (lines[0] == note) is bool(note)


def test_room_that_workers_do_not_need_is_the_batches_and_the_other_way_round():
    batches = [BatchCounts(f"b{number:02}", 10, {"done": 10}, 1.0, 5.0) for number in range(17)]
    assert "more" not in "".join(drawn(scene(batches, [IDLE]), 80, 24))
    crew = [Worker(f"w{number}@h", "h", "idle") for number in range(8)]
    assert "more" not in "".join(drawn(scene([ENDED], crew), 80, 24))


def test_a_deployment_without_anything_says_what_to_do():
    assert drawn(scene([], [], QueueFigures({"urgent": 0}, 0, None)), 80) == [
        "batches  none yet; `dubline submit` makes one",
        "",
        "workers  none; `dubline up` starts one, or `celery -A worker.app worker`",
        "",
        "queue    0 waiting   0 held",
    ]


def test_while_redis_is_away_workers_and_queue_say_so():
    lines = drawn(scene(workers=[], queue=None, live=False), 80)
    assert lines[-3:] == [
        "workers  Redis is away (see DUBLINE_REDIS_URL)",
        "",
        "queue    Redis is away (see DUBLINE_REDIS_URL)",
    ]
    assert any("nightly" in line for line in lines)


def test_names_are_cut_and_never_read_as_markup():
    long = Worker("w@" + "h" * 90, "h", "busy", 1.0, "d" * 90, 1, 2, {}, "[red]b[/]", "r" * 90, "j", "a")
    for width in (80, 200):
        lines = drawn(scene([BatchCounts("b" * 90, 1, {"waiting": 1})], [long]), width)
        assert max(map(len, lines)) <= width
        assert sum("…" in line for line in lines) >= (3 if width == 80 else 2)
    odd = Worker("w", "h", "busy", row="[red]r[/]", batch="b", job="j")
    assert "[red]r[/] of b" in "".join(drawn(scene(workers=[odd]), 80))


def test_a_log_gets_one_line():
    assert in_a_line(scene()) == (
        "nightly 75 waiting · 2 generating · 42 done · 1 failed | workers 1 busy · 1 idle · 1 unknown | "
        "queue 4 waiting: 1 urgent · 2 high · 1 low   2 held   oldest 0:12"
    )
    assert in_a_line(scene(note="as it was before")) == "as it was before"
    assert in_a_line(scene([ENDED])).startswith("no open batch | ")


def test_one_batch_shows_who_works_on_it():
    console = Console(file=io.StringIO(), width=80)
    one = BatchStatus("nightly", [RowStatus("lesson-01", "j", "generating", 480, 1500)], True, (BUSY,))
    console.print(batch_picture(one, 80))
    assert "worker1@gpu-01           busy 1:05" in console.file.getvalue()
