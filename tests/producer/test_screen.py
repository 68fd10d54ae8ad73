import io

import pytest
from rich.console import Console

from producer import screen
from producer.screen import batch_table, clock, count, trouble_text
from producer.status import BatchStatus, RowStatus


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (605, "10:05"), (3600, "1:00:00"), (36_061, "10:01:01")],
)
def test_a_duration_reads_as_a_clock_shows_it(seconds, text):
    assert clock(seconds) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 rows"), (1, "1 row"), (100_000, "100,000 rows")])
def test_things_are_counted_in_words(number, text):
    assert count(number, "row") == text


def shown(status):
    console = Console(file=io.StringIO(), width=100)
    console.print(batch_table(status))
    return console.file.getvalue()


def test_of_a_large_batch_what_moves_and_what_failed_comes_first(monkeypatch):
    monkeypatch.setattr(screen, "ROWS_SHOWN", 3)
    rows = [RowStatus(f"w{number}", "job", "waiting") for number in range(5)]
    rows += [RowStatus("bad", "job", "failed", error="no_face"), RowStatus("now", "job", "generating", 1, 2)]
    text = shown(BatchStatus("nightly", rows, live=True))
    assert [name for name in ("now", "bad", "w0", "w1") if name in text] == ["now", "bad", "w0"]
    assert text.index("now") < text.index("bad") < text.index("w0")
    assert "and 4 rows more; --json lists all" in text


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (RowStatus("a", "job", "failed", error="no_face", attempts=1), "no_face"),
        (RowStatus("a", "job", "failed", error="engine_failed", attempts=3), "engine_failed, attempt 3"),
        (
            RowStatus("a", "job", "later", error="engine_failed", attempts=1, later_seconds=65),
            "engine_failed, tried once, again in 1:05",
        ),
        (RowStatus("a", "job", "later", attempts=2, later_seconds=3), "tried twice, again in 0:03"),
        (RowStatus("a", "job", "generating", attempts=4), "tried 4 times before"),
        (RowStatus("a", "job", "cancelled", error="cancelled"), ""),
        (RowStatus("a", "job", "done", attempts=1), ""),
        (RowStatus("a", "job", "waiting"), ""),
    ],
)
def test_what_troubles_a_row_is_said_in_a_few_words(row, text):
    assert trouble_text(row) == text


def test_while_redis_is_away_the_table_says_so():
    assert "Redis is away" in shown(BatchStatus("nightly", [], live=False))


def test_an_id_is_never_read_as_markup():
    assert "[red]one[/red]" in shown(
        BatchStatus("nightly", [RowStatus("[red]one[/red]", "job", "done")], live=True)
    )
