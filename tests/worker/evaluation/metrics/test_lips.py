"""Whether the lips follow the audio."""

import numpy as np
import pytest

from worker.evaluation.metrics.base import Sound
from worker.evaluation.metrics.lips import UNSURE_FRAMES, LipsMeter, best_lag
from worker.evaluation.sync import loudness


def found(frames, follows=True):
    """What is found of lips that are open as the audio is loud; of lips that do what they like."""
    random = np.random.default_rng(frames)
    syllables = np.repeat(random.uniform(0.01, 1, frames // 5 + 1), 5)[:frames]
    samples = (np.repeat(syllables, 640) * random.normal(size=frames * 640)).astype(np.float32)
    meter = LipsMeter()
    lips = loudness(samples, frames) if follows else random.normal(size=frames)
    meter._apertures = [0.01 * each + 1 for each in lips]
    return meter.readings(Sound(samples, frames))["lip_correlation"].about["sync_found"]


@pytest.mark.parametrize("frames", [50, 60])
def test_of_a_short_clip_that_is_in_sync_it_is_not_said_that_no_sync_was_found(frames):
    assert found(frames) is not False


def test_of_a_longer_one_it_is_known_either_way():
    assert found(2 * UNSURE_FRAMES) is True and found(2 * UNSURE_FRAMES, follows=False) is False


def test_where_nothing_follows_anything_the_lag_is_none_and_not_the_farthest():
    random = np.random.default_rng(2)
    still, silent = np.ones((50, 32)), np.ones((50, 32))
    still[:, 1:], silent[:, 0] = random.normal(size=(50, 31)), random.normal(size=50)
    assert best_lag(still) == best_lag(silent) == 0


@pytest.mark.parametrize("lag", [-15, -4, 0, 15])
def test_the_lag_is_where_the_lips_are_the_sound_of_a_moment_before(lag):
    sound = np.random.default_rng(3).normal(size=200)
    moved = [np.roll(sound, shift) for shift in range(-15, 16)]
    assert best_lag(np.column_stack([np.roll(sound, lag), *moved])) == lag
