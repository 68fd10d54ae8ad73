"""Audio that does not belong to the pictures."""

import numpy as np
import pytest

from worker.evaluation.controls import audio_controls, fault, moved, shuffled
from worker.evaluation.metrics.base import Reading, Sound
from worker.evaluation.own_audio import is_same

A_FRAME = 640


@pytest.fixture
def sound():
    samples = np.random.default_rng(3).normal(size=50 * A_FRAME).astype(np.float32)
    return Sound(samples, 50)


def readings(strength, offset, found=True):
    about = {"sync_found": found}
    return {
        "lse_c": Reading(strength, 40, about=about),
        "lse_d": Reading(8.0, 40, about=about),
        "av_offset": Reading(offset, 40, about=about),
    }


def others(true, shuffled=0.4, error=0.0):
    offset = true["av_offset"].value
    moves = {f"moved_{n}": readings(7.0, offset - n + error) for n in (-7, -3, 3, 7)}
    return {"shuffled": readings(shuffled, 4), **moves}


def test_audio_moved_later_begins_with_silence_and_keeps_its_length(sound):
    later = moved(sound, 3)
    assert not later.samples[: 3 * A_FRAME].any()
    assert np.array_equal(later.samples[3 * A_FRAME :], sound.samples[: -3 * A_FRAME])
    earlier = moved(sound, -3)
    assert np.array_equal(earlier.samples[: -3 * A_FRAME], sound.samples[3 * A_FRAME :])
    assert len(later.samples) == len(earlier.samples) == len(sound.samples)


def test_audio_moved_by_more_than_its_length_is_silence():
    short = Sound(np.ones(A_FRAME, np.float32), 1)
    assert not moved(short, 7).samples.any() and not moved(short, -7).samples.any()


def test_shuffled_audio_is_the_same_sound_elsewhere(sound):
    rolled = shuffled(sound).samples
    assert np.array_equal(np.sort(rolled), np.sort(sound.samples)) and not is_same(rolled, sound.samples)


def test_every_control_has_its_name(sound):
    assert [name for name, _ in audio_controls(sound)] == [
        "shuffled",
        "moved_-7",
        "moved_-3",
        "moved_3",
        "moved_7",
    ]


def test_a_metric_that_passes_its_controls_is_believed():
    true = readings(7.0, 1)
    assert fault("lse_c", true, others(true)) == ""


def test_a_metric_that_scores_as_well_with_shuffled_audio_is_not_believed():
    true = readings(7.0, 1)
    assert "shuffled audio has 6.00 where the true one has 7.00" in fault(
        "lse_c", true, others(true, shuffled=6.0)
    )
    assert fault("lse_d", true, others(true, shuffled=6.0)), "nor is anything else that it says"


def test_a_metric_that_does_not_find_moved_audio_is_not_believed():
    true = readings(7.0, 1)
    assert "moved by -7 frames is found at 10, not at 8" in fault("av_offset", true, others(true, error=2))
    assert fault("av_offset", true, others(true, error=1)) == "", "a frame is forgiven"


def test_where_no_sync_is_found_the_controls_prove_nothing():
    true = readings(0.5, 9, found=False)
    assert fault("lse_c", true, others(true, shuffled=0.5, error=5)) == ""


def test_figures_that_do_not_hear_have_no_such_controls():
    true = readings(7.0, 1)
    assert fault("sharpness_ratio", true, others(true, shuffled=7.0)) == ""


def test_the_same_recording_is_known_again_after_noise_and_volume_but_not_after_it_was_moved(sound):
    noise = np.random.default_rng(4).normal(size=len(sound.samples)).astype(np.float32)
    assert is_same(sound.samples, 0.2 * sound.samples + 0.05 * noise)
    assert not is_same(sound.samples, moved(sound, 5).samples)
    assert not is_same(sound.samples, noise)
    assert not is_same(sound.samples, np.zeros_like(noise))
