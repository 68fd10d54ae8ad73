"""A batch in motion, drawn on a terminal and told in a log."""

import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console

from contract.errors import ConfigurationError, StoreUnavailable
from contract.queue import QueueFigures
from contract.settings import Settings
from contract.workers import Worker
from producer import follow as module
from producer.check import check
from producer.follow import UploadBar, follow, follow_all
from producer.overview import Scene
from producer.status import BatchCounts, BatchStatus, RowStatus


class Scripted:
    """A batch view that shows one moment after the other."""

    def __init__(self, *moments):
        self._moments = list(moments)

    def look(self):
        moment = self._moments.pop(0)
        if isinstance(moment, Exception):
            raise moment
        return BatchStatus("nightly", moment, live=True)


def row(name, state, **more):
    return RowStatus(name, "job", state, **more)


WORKING = [row("one", "generating", frames=25, total=100, fps=50.0, eta_seconds=1.5), row("two", "queued")]
ENDED = [row("one", "done", frames=100, total=100), row("two", "failed", error="no_face")]


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0.0)


@pytest.fixture
def log():
    return Console(file=io.StringIO(), width=100)


def test_a_log_gets_a_line_for_each_change_and_none_for_each_look(log):
    status = follow(Scripted([row("one", "waiting"), row("two", "waiting")], WORKING, WORKING, ENDED), log)
    assert status.rows == ENDED
    assert log.file.getvalue().splitlines() == [
        "one: waiting",
        "two: waiting",
        "one: generating",
        "two: queued",
        "one: done",
        "two: failed [no_face]",
    ]


def test_a_log_of_a_large_batch_gets_counts_now_and_then_and_at_its_end(log):
    many = [row(str(number), "waiting") for number in range(module.ROWS_TOLD + 1)]
    done = [row(str(number), "done") for number in range(module.ROWS_TOLD + 1)]
    follow(Scripted(many, many, done), log)
    assert log.file.getvalue().splitlines() == ["nightly: 41 waiting", "nightly: 41 done"]


def test_a_terminal_shows_the_batch_and_the_rows_at_work():
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    follow(Scripted(WORKING, ENDED), console)
    text = console.file.getvalue()
    for shown in ("nightly", "1 queued · 1 generating", "25/100  50 fps", "0:02 left", "1 done · 1 failed"):
        assert shown in text


def test_a_terminal_shows_a_few_of_many_rows_at_work():
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    follow(Scripted([row(f"row{number}", "staging") for number in range(12)], ENDED), console)
    assert "row7" in console.file.getvalue()
    assert "row8" not in console.file.getvalue()
    assert "and 4 more" in console.file.getvalue()


def test_while_the_store_is_away_it_goes_on_looking(log):
    assert follow(Scripted(StoreUnavailable("away"), StoreUnavailable("away"), ENDED), log).ended


def test_a_service_that_ended_ends_it(log):
    def check():
        raise ConfigurationError("worker1 ended with code 1")

    with pytest.raises(ConfigurationError, match="worker1 ended"):
        follow(Scripted(), log, check)


@pytest.mark.parametrize(("terminal", "shown"), [(True, True), (False, False)])
def test_bytes_of_local_files_are_shown_on_a_terminal_alone(jobs, terminal, shown):
    console = Console(file=io.StringIO(), width=100, force_terminal=terminal, color_system=None)
    checked = check(jobs, None, Settings())  # no row needs the store
    with UploadBar(checked, console) as bar:
        bar.advance("hashed", 5800)
        bar.advance("uploaded", 2900)
    assert ("2.9/5.8 kB" in console.file.getvalue()) is shown


# --- everything


class Everything:
    """An overview that shows one moment after the other, and then Ctrl-C."""

    def __init__(self, *moments):
        self._moments = list(moments)

    def look(self):
        moment = self._moments.pop(0) if self._moments else KeyboardInterrupt()
        if isinstance(moment, BaseException):
            raise moment
        return moment


def everything(waiting, **more):
    batch = BatchCounts("nightly", 10, {"waiting": waiting, "done": 10 - waiting}, 1 - waiting / 10)
    queue = QueueFigures({"urgent": 0}, 0, None)
    return Scene([batch], {"nightly": datetime(2026, 1, 1, tzinfo=UTC)}, [], queue, **more)


@pytest.fixture(autouse=True)
def _looks_at_once(monkeypatch):
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)


def terminal(width=80, height=24):
    return Console(
        file=io.StringIO(),
        width=width,
        height=height,
        force_terminal=True,
        color_system=None,
        legacy_windows=False,
    )


def test_everything_has_a_screen_of_its_own_until_ctrl_c_and_leaves_its_last_picture():
    console = terminal()
    follow_all(Everything(everything(4), everything(3)), console)
    before, _, own = console.file.getvalue().partition("\x1b[?1049h")
    own, _, after = own.partition("\x1b[?1049l")
    assert before == ""
    assert "4 waiting · 6 done" in own and "3 waiting · 7 done" in own
    assert "3 waiting · 7 done" in after and "4 waiting" not in after
    assert "\x1b[?25h" in own + after, "the cursor is shown again"


def test_a_screen_is_overwritten_and_never_cleared():
    console = terminal()
    follow_all(Everything(*(everything(number) for number in (4, 3, 2))), console)
    shown = console.file.getvalue()
    assert "\x1b[2J" not in shown.partition("\x1b[?1049h")[2].partition("3 waiting")[2]


def test_while_the_store_is_away_everything_is_shown_as_it_was_with_the_reason():
    console = terminal()
    follow_all(Everything(everything(4), StoreUnavailable("S3 does not answer")), console)
    after = console.file.getvalue().partition("\x1b[?1049l")[2]
    assert "as it was before: S3 does not answer" in after
    assert "4 waiting" in after


def test_a_store_that_is_away_from_the_start_is_an_error():
    with pytest.raises(StoreUnavailable):
        follow_all(Everything(StoreUnavailable("S3 does not answer")), terminal())


def test_a_log_gets_a_line_of_everything_when_it_changes(log, monkeypatch):
    monkeypatch.setattr(module, "TELL_SECONDS", 0.0)
    follow_all(Everything(everything(4), everything(4), everything(3)), log)
    assert [line.split(" | ")[0] for line in log.file.getvalue().splitlines()] == [
        "nightly 4 waiting · 6 done",
        "nightly 3 waiting · 7 done",
    ]


def test_a_batch_at_work_shows_its_workers():
    worker = Worker(
        "worker1@gpu-01", "gpu-01", "busy", 5.0, "NVIDIA L4", row="one", batch="nightly", job="job"
    )

    class Crewed(Scripted):
        def look(self):
            return replace(super().look(), workers=(worker,))

    console = terminal(width=120)
    follow(Crewed(WORKING, ENDED), console)
    assert "worker1@gpu-01" in console.file.getvalue() and "NVIDIA L4" in console.file.getvalue()
