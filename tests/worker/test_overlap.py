"""Stages side by side keep order, bounds and errors."""

import threading
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from worker.overlap import WriteBehind, gathered, read_ahead


def test_items_come_in_order_and_all_of_them():
    with read_ahead(range(1000), depth=4) as items:
        assert list(items) == list(range(1000))


def test_the_reader_stays_at_most_depth_items_ahead():
    produced = 0
    gate = threading.Semaphore(0)

    def counted() -> Iterator[int]:
        nonlocal produced
        for number in range(100):
            produced += 1
            gate.release()
            yield number

    with read_ahead(counted(), depth=3) as items:
        assert next(items) == 0
        for _ in range(5):  # one taken, three waiting, one in the producer's hand
            assert gate.acquire(timeout=5)
        assert not gate.acquire(timeout=0.3)
        assert produced == 5


def test_an_error_of_the_producer_is_raised_where_its_item_would_have_come():
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("disk")

    with read_ahead(broken(), depth=2) as items:
        assert next(items) == 1
        with pytest.raises(ValueError, match="disk"):
            next(items)


def test_leaving_early_closes_the_producer():
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    with read_ahead(endless(), depth=2) as items:
        next(items)
    assert closed.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


def test_everything_put_is_written_in_order_before_the_block_ends():
    written: list[int] = []
    with WriteBehind(written.append, depth=2) as behind:
        for number in range(500):
            behind.put(number)
    assert written == list(range(500))


def test_one_may_wait_for_all_that_was_put_and_any_number_may_wait():
    go_on = threading.Event()
    written: list[int] = []
    with WriteBehind(lambda number: go_on.wait(5) and written.append(number), depth=0) as behind:
        for number in range(500):
            behind.put(number)
        assert written == []
        go_on.set()
        behind.finish()
        assert written == list(range(500))


def test_whoever_waits_for_all_that_was_put_hears_of_an_error():
    def full(_: int) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"), WriteBehind(full, depth=0) as behind:
        behind.put(1)
        behind.finish()
        pytest.fail("it said nothing")


def test_an_error_of_the_writer_reaches_whoever_puts_and_never_blocks_them():
    def full(_: int) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"), WriteBehind(full, depth=1) as behind:
        for number in range(100):
            behind.put(number)


def test_an_error_at_the_last_item_is_raised_at_the_end_of_the_block():
    def full(_: int) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"), WriteBehind(full, depth=4) as behind:
        behind.put(1)


def test_after_an_error_in_the_block_what_waits_is_dropped():
    begun, go_on = threading.Event(), threading.Event()
    written: list[int] = []

    def slow(number: int) -> None:
        begun.set()
        go_on.wait(5)
        written.append(number)

    def abandon() -> None:
        with WriteBehind(slow, depth=8) as behind:
            for number in range(5):
                behind.put(number)
            begun.wait(5)
            threading.Timer(0.2, go_on.set).start()
            raise KeyError("render failed")

    with pytest.raises(KeyError):
        abandon()
    assert written == [0]


def test_threads_know_what_their_starter_knew() -> None:
    """The log's lines name the job by a context variable."""
    at_hand: ContextVar[str] = ContextVar("at_hand", default="-")
    token = at_hand.set("job 1")
    written: list[str] = []
    with (
        read_ahead((at_hand.get() for _ in range(2)), depth=1) as ahead,
        WriteBehind(lambda _: written.append(at_hand.get()), depth=1) as behind,
    ):
        for item in ahead:
            written.append(item)
            behind.put(item)
    at_hand.reset(token)
    assert written == ["job 1"] * 4


@pytest.mark.parametrize(
    ("items", "lists"),
    [
        ("", []),
        ("xxxxx", ["xx", "xx", "x"]),
        ("..x.x.", [".", ".", "x.x", "."]),
        ("x......x", ["x....", ".", ".", "x"]),
        ("x.", ["x."]),
    ],
)
def test_lists_are_full_of_what_counts_and_never_long(items: str, lists: list[str]) -> None:
    got = gathered(items, lambda each: each == "x", size=2, most=5)
    assert ["".join(each) for each in got] == lists


def test_a_list_ends_with_what_ends_it() -> None:
    got = gathered("x.xx.x|x|.|xx", lambda each: each == "x", 2, 9, ends=lambda each: each == "|")
    assert ["".join(each) for each in got] == ["x.x", "x.x", "|", "x|", ".", "|", "xx"]


def test_what_does_not_count_waits_for_nothing() -> None:
    def endless() -> Iterator[str]:
        yield "."
        raise AssertionError("asked for more")

    assert next(gathered(endless(), lambda each: each == "x", size=2, most=5)) == ["."]
