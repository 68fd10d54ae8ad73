"""Which mouth goes on which frame, whatever the stages' timing."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest

from tests.worker.still import Blinking, StillEngine, frames, planes, stages
from worker.drawing import draw
from worker.preparing import Preparer
from worker.stopwatch import Stopwatch


@contextmanager
def drawing(source, features, engine, without=()):
    preparer = Preparer(engine, Blinking(without), None, Stopwatch())
    with draw(source, features, engine, preparer, Stopwatch()) as drawn:
        yield drawn


def all_drawn(source_indices, features, engine, without=()):
    with drawing(frames(source_indices), features, engine, without) as drawn:
        return list(drawn)


def test_a_frame_without_a_face_keeps_its_place_untouched_and_shifts_no_mouth():
    features = [4 * index for index in range(10)]
    drawn = all_drawn(range(10), features, StillEngine(), without={3})
    assert [each.frame.index for each in drawn] == list(range(10))
    assert [each.frame.index for each in drawn if not each.has_mouth] == [3]
    for each, before in zip(drawn, frames(range(10)), strict=True):
        frame, has_mouth = each.frame, each.has_mouth
        painted = (frame.y != before.y).nonzero()
        if not has_mouth:
            assert planes([frame]) == planes([before])
        elif features[frame.index]:
            expected = int(before.rgb()[0, 0, 0]) + features[frame.index]
            assert abs(int(frame.rgb()[0, 0, 0]) - expected) <= 1
            assert set(painted[0]) == set(painted[1]) == {0, 1}


def test_frames_without_a_face_do_not_cut_a_batch():
    engine = StillEngine()
    all_drawn(range(12), [1] * 12, engine, without={1, 4, 6})
    assert engine.generated == engine.prepared == [3, 3, 3]


def test_a_long_absence_does_not_hold_frames_back():
    """Frame 0 waits for two more faces, but not for longer than two batches' worth of frames."""
    engine, given = StillEngine(), []

    def watched():
        for frame in frames(range(100)):
            given.append(frame.index)
            yield frame

    with drawing(watched(), [1] * 100, engine, without=range(1, 100)) as drawn:
        assert next(drawn).has_mouth
        assert max(given) < 30
        assert [each.frame.index for each in drawn] == list(range(1, 100))
    assert engine.generated == [1]


def test_a_consumer_that_stalls_holds_everything_up():
    """However long the video, a bounded number of frames is in memory."""
    given, steady = [], threading.Event()

    def watched():
        for frame in frames(range(1000)):
            given.append(frame.index)
            yield frame

    with drawing(watched(), [1] * 1000, StillEngine()) as drawn:
        next(drawn)
        before = -1
        while len(given) != before:
            before = len(given)
            steady.wait(0.2)
        assert len(given) <= 7 * StillEngine.batch_size


def test_preparing_goes_on_while_a_mouth_is_generated():
    class Waiting(StillEngine):
        prepared_next = threading.Event()

        def prepare(self, crops):
            if self.prepared:
                self.prepared_next.set()
            return super().prepare(crops)

        def generate(self, prepared, features):
            assert self.prepared_next.wait(10), "generate runs alone"
            return super().generate(prepared, features)

    assert len(all_drawn(range(9), [1] * 9, Waiting())) == 9


def test_a_mouth_is_finished_by_who_takes_it_while_the_next_batch_is_called_for():
    finished_in, called_for_next = [], threading.Event()

    class Leaving(StillEngine):
        def generate(self, prepared, features):
            if self.generated:
                called_for_next.set()
            return map(self._finished, super().generate(prepared, features))

        def _finished(self, mouth):
            assert called_for_next.wait(10), "the next batch waits for this mouth"
            finished_in.append(threading.current_thread())
            return mouth

    assert len(all_drawn(range(9), [1] * 9, Leaving())) == 9
    assert finished_in == [threading.current_thread()] * 9


def test_the_result_depends_on_no_timing():
    sources = [*range(20), *reversed(range(20)), *range(20)]
    features = [index % 50 for index in range(60)]
    without = {0, 5, 6, 7, 19}
    plain = all_drawn(sources, features, StillEngine(), without)
    for seed in range(3):
        engine = StillEngine(seed)
        drawn = all_drawn(sources, features, engine, without)
        assert planes(each.frame for each in drawn) == planes(each.frame for each in plain)
        assert engine.generated == [3] * 15


def test_a_video_that_ends_before_its_audio_is_a_defect_and_not_a_short_output():
    with pytest.raises(ValueError, match="longer than"):
        all_drawn(range(3), [0] * 4, StillEngine())
    assert stages() == []


@pytest.mark.parametrize("stage", ["prepare", "generate", "region"])
def test_an_error_of_a_stage_arrives_and_ends_all_stages(stage):
    engine = StillEngine()

    def broken(*_):
        raise RuntimeError(f"{stage} broke")

    setattr(engine, stage, broken)
    with pytest.raises(RuntimeError, match=f"{stage} broke"):
        all_drawn(range(100), [1] * 100, engine)
    assert stages() == []


def test_an_error_of_the_source_arrives_and_no_frame_is_skipped_before_it():
    def broken():
        yield from frames(range(7))
        raise OSError("the decoder is gone")

    seen = []
    with (
        pytest.raises(OSError, match="the decoder is gone"),
        drawing(broken(), [1] * 50, StillEngine()) as drawn,
    ):
        seen.extend(each.frame.index for each in drawn)
    assert seen == list(range(len(seen)))
    assert stages() == []


def test_leaving_early_ends_all_stages():
    with drawing(frames(range(10_000)), [1] * 10_000, StillEngine()) as drawn:
        next(drawn)
        assert len(stages()) == 2
    assert stages() == []


def test_an_engine_that_gives_too_few_mouths_is_a_defect():
    class Lazy(StillEngine):
        def generate(self, prepared, features):
            return super().generate(prepared, features)[1:]

    with pytest.raises(ValueError, match="shorter than"):
        all_drawn(range(6), [1] * 6, Lazy())


def test_a_frame_that_cannot_be_prepared_passes_through_and_counts_as_one_without_a_face():
    tone = int(next(frames([4])).rgb()[0, 0, 0])
    drawn = all_drawn(range(8), [40] * 8, StillEngine(turned_away={tone}))
    assert [each.frame.index for each in drawn if not each.has_mouth] == [4]
    np.testing.assert_array_equal(drawn[4].frame.y, next(frames([4])).y)
