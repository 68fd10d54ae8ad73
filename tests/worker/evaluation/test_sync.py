import time

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.evaluation import sync
from worker.media.clock import FPS, SAMPLE_RATE

SAMPLES_A_FRAME = SAMPLE_RATE // FPS


def noise(frames: int, seed: int) -> NDArray[np.float32]:
    """Smoothed noise with the pace of syllables."""
    raw = np.random.default_rng(seed).standard_normal(frames + 4)
    return np.convolve(raw, np.ones(5) / 5, "valid").astype(np.float32)


def lips_for(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lips that follow a loudness curve perfectly, in the units of `Face.aperture`."""
    return (0.05 + 0.01 * sound).astype(np.float32)


class TestLoudness:
    def test_a_full_scale_square_wave_is_zero_decibels(self) -> None:
        samples = np.ones(10 * SAMPLES_A_FRAME, np.float32)
        assert sync.loudness(samples, 10)[1:-1] == pytest.approx(0.0, abs=1e-4)

    def test_half_the_amplitude_is_six_decibels_less(self) -> None:
        samples = np.repeat(np.float32([1.0, 0.5]), 10 * SAMPLES_A_FRAME)
        measured = sync.loudness(samples, 20)
        assert measured[15] - measured[5] == pytest.approx(-6.02, abs=0.01)

    def test_the_window_is_centred_on_the_frames_middle(self) -> None:
        samples = np.zeros(21 * SAMPLES_A_FRAME, np.float32)
        middle = 10 * SAMPLES_A_FRAME + SAMPLES_A_FRAME // 2
        samples[middle - 1 : middle + 1] = 1.0
        measured = sync.loudness(samples, 21)
        assert measured.argmax() == 10
        assert np.array_equal(measured, measured[::-1])

    def test_pauses_lie_forty_decibels_under_the_peak_however_silent_they_are(self) -> None:
        hiss = np.random.default_rng(0).standard_normal(20 * SAMPLES_A_FRAME).astype(np.float32)
        loud, faint, mute = 0.1 * hiss, 1e-5 * hiss, 0.0 * hiss
        for pause in (faint, mute):
            measured = sync.loudness(np.concatenate([loud, pause]), 40)
            assert measured.max() - measured[30] == pytest.approx(40.0)

    @pytest.mark.parametrize("samples", [0, 1, 700, 3 * SAMPLES_A_FRAME, 100 * SAMPLES_A_FRAME])
    def test_there_is_a_value_for_every_frame_whatever_the_audios_length(self, samples: int) -> None:
        measured = sync.loudness(np.ones(samples, np.float32), 10)
        assert measured.shape == (10,)
        assert np.isfinite(measured).all()

    def test_an_unfinished_half_frame_at_the_end_is_heard(self) -> None:
        samples = np.zeros(2 * SAMPLES_A_FRAME + 100, np.float32)
        samples[2 * SAMPLES_A_FRAME :] = 1.0
        measured = sync.loudness(samples, 3)
        assert measured[2] == measured[1] > measured[0]


class TestCheck:
    @pytest.mark.parametrize("lag", [-5, -2, 0, 1, 5])
    def test_a_positive_lag_means_that_the_lips_are_late(self, lag: int) -> None:
        sound = noise(500, seed=1)
        found = sync.check(np.roll(lips_for(sound), lag), sound)
        assert found.status == "ok"
        assert found.lag_frames == lag
        assert found.correlation == pytest.approx(1.0, abs=1e-4)

    def test_a_known_correlation_is_found(self) -> None:
        sound, other = noise(20_000, seed=2), noise(20_000, seed=3)
        found = sync.check(lips_for(0.6 * sound + 0.8 * other), sound)
        assert found.correlation == pytest.approx(0.6, abs=0.03)
        assert found.lag_frames == 0

    def test_it_agrees_with_numpys_correlation_where_frames_are_missing(self) -> None:
        sound = noise(300, seed=4)
        aperture = np.roll(lips_for(sound + noise(300, seed=5)), 2)
        aperture[40:90] = np.nan
        aperture[[3, 200, 299]] = np.nan
        seen = np.isfinite(aperture)
        expected = np.corrcoef(aperture[seen], np.roll(sound, 2)[seen])[0, 1]
        found = sync.check(aperture, sound)
        assert found.correlation == pytest.approx(expected, abs=1e-4)
        assert (found.lag_frames, found.frames) == (2, 247)

    def test_lips_in_step_stand_far_above_shifted_audio(self) -> None:
        sound = noise(500, seed=6)
        found = sync.check(lips_for(sound + noise(500, seed=7)), sound)
        assert found.correlation is not None
        assert found.shifted_correlation is not None
        assert found.z_score is not None
        assert found.correlation - found.shifted_correlation > 0.3
        assert found.z_score > 4

    def test_lips_half_a_second_off_do_not(self) -> None:
        sound = noise(500, seed=6)
        found = sync.check(np.roll(lips_for(sound), FPS // 2), sound)
        assert found.z_score is not None
        assert found.z_score < 3

    def test_unrelated_curves_have_a_z_score_around_zero(self) -> None:
        scores = [
            sync.check(lips_for(noise(500, seed)), noise(500, seed + 1000)).z_score for seed in range(60)
        ]
        measured = np.array(scores, dtype=np.float64)
        assert abs(measured.mean()) < 0.4  # three standard errors
        assert 0.7 < measured.std() < 1.3

    def test_scale_and_offset_of_either_curve_do_not_matter(self) -> None:
        sound, lips = noise(300, seed=8), noise(300, seed=9)
        found = sync.check(lips_for(lips), sound)
        assert sync.check(lips_for(3 * lips), 5 * sound - 60).correlation == pytest.approx(
            found.correlation, abs=2e-4
        )

    def test_the_same_curves_give_the_same_check(self) -> None:
        sound, lips = noise(123, seed=10), lips_for(noise(123, seed=11))
        assert sync.check(lips, sound) == sync.check(lips, sound)

    @pytest.mark.parametrize(
        ("aperture", "sound", "reason"),
        [
            (np.full(100, np.nan), noise(100, 1), "0 frames show a face; the check needs 50"),
            (noise(49, 1), noise(49, 2), "49 frames show a face; the check needs 50"),
            (noise(0, 1)[:0], noise(0, 2)[:0], "0 frames show a face; the check needs 50"),
            (np.full(100, 0.03), noise(100, 1), "the lips do not move"),
            (noise(100, 1), np.full(100, -60.0), "the audio's loudness does not change"),
        ],
    )
    def test_what_cannot_be_told_is_unavailable_with_a_reason(
        self, aperture: NDArray[np.float32], sound: NDArray[np.float32], reason: str
    ) -> None:
        found = sync.check(aperture.astype(np.float32), sound.astype(np.float32))
        assert (found.status, found.reason) == ("unavailable", reason)
        assert found.correlation is found.lag_frames is found.shifted_correlation is found.z_score is None

    def test_a_face_seen_only_while_the_audio_is_silent_says_nothing_there(self) -> None:
        frame = np.arange(400)
        sound = np.where((frame > 200) & (frame < 390), noise(400, seed=12), np.float32(-60))
        aperture = lips_for(noise(400, seed=13))
        aperture[100:] = np.nan
        found = sync.check(aperture, sound)
        assert (found.correlation, found.lag_frames) == (0.0, 0)

    def test_a_rhythm_that_fits_every_shift_has_no_z_score(self) -> None:
        sound = np.tile(noise(5, seed=14), 40)
        assert sync.check(lips_for(sound), sound).z_score is None

    def test_curves_of_unequal_length_are_refused(self) -> None:
        with pytest.raises(ValueError, match="aperture has 100 frames and loudness 101"):
            sync.check(noise(100, 1), noise(101, 1))

    def test_an_hour_takes_under_two_seconds(self) -> None:
        frames = 3600 * FPS
        samples = np.random.default_rng(0).standard_normal(frames * SAMPLES_A_FRAME, dtype=np.float32)
        aperture = lips_for(noise(frames, seed=15))
        began = time.process_time()
        sync.check(aperture, sync.loudness(samples, frames))
        assert time.process_time() - began < 2


def test_curves_are_kept_with_null_where_no_face_was_seen() -> None:
    kept = sync.curves(np.float32([0.04321, np.nan]), np.float32([-20.04, -60.0]))
    assert kept.model_dump_json() == '{"fps":25,"aperture":[0.0432,null],"loudness":[-20.0,-60.0]}'
