"""What is done once per source frame, and how often."""

import pytest

from contract.errors import EngineFailed
from tests.worker.still import Blinking, KeepingEngine, StillEngine, frames
from worker.prepared.shelf import Shelf
from worker.preparing import Preparer
from worker.stopwatch import Stopwatch

GIB = 2**30


def run(sources, engine, tracker, kept=None):
    preparer = Preparer(engine, tracker, kept, Stopwatch())
    ready = list(preparer.ready((frame, None) for frame in frames(sources)))
    assert [each.frame.index for each in ready] == list(range(len(sources)))
    return ready, preparer


def tones(ready):
    return [None if each.prepared is None else int(each.prepared.rgb[0, 0, 0]) for each in ready]


@pytest.fixture
def entry(tmp_path):
    """Opens the one entry of a shelf, as one job after the other does."""
    return lambda wanted=1000: Shelf(tmp_path, GIB).entry("a" * 64, wanted, lambda: None)


def bounced(length, times=3):
    once = list(range(length))
    return [index for turn in range(times) for index in (once if turn % 2 == 0 else reversed(once))]


def test_a_source_frame_that_shows_again_is_tracked_once():
    tracker = Blinking(without={1})
    ready, _ = run([0, 1, 2, 2, 1, 0, 0, 1], StillEngine(), tracker)
    assert tracker.asked == [0, 1, 2]
    assert [each.prepared is None for each in ready] == [False, True, False, False, True, False, False, True]


def test_every_frame_gets_what_was_prepared_of_its_own_picture(entry):
    sources = bounced(20)
    expected = [int(frame.rgb()[0, 0, 0]) for frame in frames(sources)]
    assert tones(run(sources, StillEngine(), Blinking())[0]) == expected
    with entry() as kept:
        assert tones(run(sources, KeepingEngine(), Blinking(), kept)[0]) == expected


@pytest.mark.parametrize("sources", [[0] * 50, [*range(5), *[4] * 45]], ids=["still", "freeze"])
def test_a_picture_that_stays_is_prepared_once(sources):
    engine = StillEngine()
    run(sources, engine, Blinking())
    assert sum(engine.prepared) == len(set(sources))


def test_a_source_that_bounces_is_prepared_once_where_it_is_kept(entry):
    engine = KeepingEngine()
    with entry() as kept:
        _, preparer = run(bounced(700), engine, Blinking(without={3}), kept)
        kept.finish(700)
    assert sum(engine.prepared) == preparer.prepared == 699
    assert preparer.reused == 0


def test_what_another_job_left_is_neither_tracked_nor_prepared(entry):
    with entry() as kept:
        first, _ = run(range(300), KeepingEngine(), Blinking(without={0, 280}), kept)
        kept.finish(300)
    for sources in (range(300), range(10), bounced(300)):
        engine = KeepingEngine()
        with entry(len(sources)) as kept:
            assert kept.covers(len(sources))
            again, preparer = run(sources, engine, None, kept)
        assert tones(again)[:300] == tones(first)[: len(sources)]
        assert engine.prepared == []
        assert preparer.reused == sum(index not in {0, 280} for index in set(sources))


def test_a_longer_job_tracks_from_the_start_and_prepares_the_rest(entry):
    with entry() as kept:
        run(range(100), KeepingEngine(), Blinking(without={7}), kept)
        kept.finish(None)
    engine, tracker = KeepingEngine(), Blinking(without={7, 150})
    with entry(200) as kept:
        assert not kept.covers(200)
        ready, preparer = run(range(200), engine, tracker, kept)
        kept.finish(None)
    assert tracker.asked == list(range(200))
    assert (sum(engine.prepared), preparer.prepared, preparer.reused) == (99, 99, 99)
    assert tones(ready) == tones(run(range(200), StillEngine(), Blinking(without={7, 150}))[0])
    with entry(200) as kept:
        assert kept.covers(200)


def test_a_source_that_is_longer_than_was_said_is_an_error_and_no_frame_without_a_mouth(entry):
    with entry() as kept:
        run(range(10), KeepingEngine(), Blinking(), kept)
        kept.finish(10)
    with entry() as kept, pytest.raises(EngineFailed, match="frame 10 of the source was never prepared"):
        run(range(11), KeepingEngine(), None, kept)
