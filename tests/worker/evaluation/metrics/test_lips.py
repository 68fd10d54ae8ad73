"""Whether the lips follow the audio."""

import numpy as np
import pytest

from worker.evaluation.metrics.base import Sound
from worker.evaluation.metrics.lips import UNSURE_FRAMES, LipsMeter
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
