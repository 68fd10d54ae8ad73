"""What a figure is worth."""

import numpy as np
import pytest

from worker.evaluation.metrics.base import goodness, mean
from worker.evaluation.statistics import (
    BLOCK,
    FEWEST_CLIPS,
    difference_over,
    difference_within,
    holm,
    interval_within,
)


def column(values):
    return np.asarray(values, np.float64)[:, None]


@pytest.fixture
def random():
    return np.random.default_rng(7)


def smooth(random, n):
    """Values that remember half a second, as frames of a clip do."""
    noise = random.normal(size=n + 12)
    return np.convolve(noise, np.ones(13) / 13, mode="valid")


def test_an_interval_holds_the_truth_about_as_often_as_it_says(random):
    holding = 0
    for _ in range(60):
        low, high = interval_within(column(smooth(random, 800)), mean)
        holding += low <= 0 <= high
    assert holding >= 50


def test_frames_that_are_alike_make_the_interval_wider_than_if_they_were_independent(random):
    values = np.repeat(random.normal(size=40), 25)
    low, high = interval_within(column(values), mean)
    shuffled = random.permutation(values)
    narrow, wide = interval_within(column(shuffled), mean)
    assert high - low > 2 * (wide - narrow)


def test_a_clip_of_less_than_four_seconds_has_no_interval():
    assert interval_within(column(np.arange(4 * BLOCK - 1)), mean) is None
    assert interval_within(column(np.arange(4 * BLOCK)), mean) is not None


def test_frames_without_a_value_take_no_part(random):
    values = smooth(random, 300)
    values[::3] = np.nan
    low, high = interval_within(column(values), mean)
    assert low < np.nanmean(values) < high


def test_a_small_constant_difference_is_found_however_much_the_frames_vary(random):
    one = smooth(random, 400)
    found = difference_within(column(one), column(one + 0.01), mean)
    assert found.value == pytest.approx(0.01)
    assert found.interval[0] > 0 and found.p < 0.01 and found.is_within


def test_a_video_against_itself_differs_by_nothing_at_all(random):
    one = column(smooth(random, 400))
    found = difference_within(one, one, mean)
    assert (found.value, found.interval, found.p) == (0, (0, 0), 1.0)


def test_a_value_of_one_frame_proves_nothing_however_long_the_clip_is(random):
    one, other = smooth(random, 400), smooth(random, 400)
    other[:] = np.nan
    other[0] = one[0] + 5
    found = difference_within(column(one), column(other), mean)
    assert (found.interval, found.p, found.n) == (None, None, 1) and found.value == pytest.approx(5)
    assert interval_within(column(other), mean) is None


def test_only_frames_that_were_measured_of_both_are_compared(random):
    hard = np.arange(400) >= 200
    one = smooth(random, 400) + 5 * hard
    found = difference_within(column(one), column(np.where(hard, np.nan, one)), mean)
    assert (found.value, found.interval, found.p, found.n) == (0, (0, 0), 1.0, 200)


def test_two_videos_that_never_show_the_face_together_have_nothing_to_compare(random):
    values = smooth(random, 400)
    first = np.arange(400) < 200
    found = difference_within(
        column(np.where(first, values, np.nan)), column(np.where(first, np.nan, values)), mean
    )
    assert np.isnan(found.value) and found.interval is None and found.p is None and found.n == 0


def test_resampled_blocks_without_a_value_speak_for_neither_side(random):
    values = np.full(5000, np.nan)
    values[:110] = 1 + smooth(random, 110) / 10
    found = difference_within(column(np.where(np.isfinite(values), 0.0, np.nan)), column(values), mean)
    assert found.interval[0] > 0 and found.p > 0.01, "18 of 2000 blocks hold no frame with the face"


def test_clips_need_to_be_six_before_anything_is_said_of_them():
    few = difference_over([0.5] * (FEWEST_CLIPS - 1))
    assert few.value == 0.5 and few.interval is None and few.p is None
    enough = difference_over([0.5, 0.4, 0.6, 0.5, 0.45, 0.55])
    assert enough.interval[0] > 0 and enough.p < 0.05 and enough.n == 6


def test_clips_that_disagree_are_no_difference(random):
    half = random.normal(size=20)
    found = difference_over([*half, *-half])
    assert found.interval[0] < 0 < found.interval[1] and found.p > 0.05


def test_clips_that_do_not_differ_at_all_have_no_test_to_fail():
    assert difference_over([0.0] * 8).p == 1.0


def test_holm_corrects_the_smallest_most_and_keeps_the_order():
    corrected = holm({"a": 0.01, "b": 0.04, "c": 0.03})
    assert corrected == {"a": pytest.approx(0.03), "c": pytest.approx(0.06), "b": pytest.approx(0.06)}
    assert holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}
    assert holm({}) == {}


@pytest.mark.parametrize(
    ("better", "worse_value", "better_value"),
    [("higher", 1.0, 2.0), ("lower", 2.0, 1.0), ("nearer 1", 1.4, 0.8), ("nearer 0", -3.0, 2.0)],
)
def test_more_goodness_is_always_better(better, worse_value, better_value):
    assert goodness(better_value, better) > goodness(worse_value, better)
