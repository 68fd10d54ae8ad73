import numpy as np
import pytest

from worker.evaluation.syncnet import lip_sync


def features(windows, seed=4):
    return np.random.default_rng(seed).normal(0, 0.3, (windows, 1024)).astype(np.float32)


def heard(lips, early):
    """The voices of those lips, early by so many frames; what comes in at the end is of somebody else."""
    other = features(len(lips) + 2 * lip_sync.FARTHEST, seed=9)
    inner = slice(lip_sync.FARTHEST - early, lip_sync.FARTHEST - early + len(lips))
    other[inner] = lips
    return other[lip_sync.FARTHEST :][: len(lips)]


def test_the_figures_are_upstreams():
    """joonson/syncnet_python@6efbb1c, calc_pdist with vshift 15 and what `evaluate` makes of it."""
    rng = np.random.default_rng(4)
    voices = rng.normal(0, 0.3, (40, 1024)).astype(np.float32)
    lips = np.roll(voices, -6, axis=0) + rng.normal(0, 0.2, (40, 1024)).astype(np.float32)
    found = lip_sync.distances(lips, voices)
    assert found.shape == (40, 31)
    assert lip_sync.offset(found) == -6
    assert lip_sync.distance(found) == pytest.approx(7.160923957824707, abs=1e-5)
    assert lip_sync.confidence(found) == pytest.approx(7.176826477050781, abs=1e-5)
    at_15, at_0, at_minus_15 = lip_sync.curve(found)[[30, 15, 0]]
    assert (at_15, at_0, at_minus_15) == pytest.approx(
        (13.6986665725708, 15.044441223144531, 13.717660903930664), abs=1e-5
    )


@pytest.mark.parametrize("early", [3, -3, 0, 14, -14])
def test_the_offset_is_positive_where_the_audio_is_early(early):
    lips = features(60)
    assert lip_sync.offset(lip_sync.distances(lips, heard(lips, early))) == early
    assert lip_sync.masked(lip_sync.distances(lips, heard(lips, early)))["av_offset_masked"] == early


def test_outside_the_clip_the_voice_is_all_zeros():
    lips = features(20)
    found = lip_sync.distances(lips, lips)
    assert found[0, 30] == pytest.approx(
        np.linalg.norm(lips[0]), abs=1e-4
    )  # offset 15: 15 windows before the first
    assert found[19, 0] == pytest.approx(np.linalg.norm(lips[19]), abs=1e-4)
    assert found[19, 30] == pytest.approx(np.linalg.norm(lips[19] - lips[4]), abs=1e-4)


def test_the_masked_figures_take_only_pairs_that_are_both_there():
    foreign = lip_sync.distances(features(50), features(50, seed=5))
    assert lip_sync.confidence(foreign) > 3 * lip_sync.masked(foreign)["lse_c_masked"]
    assert lip_sync.masked(foreign)["lse_d_masked"] == pytest.approx(0.3 * np.sqrt(2 * 1024), rel=0.02)


def test_of_a_clip_shorter_than_the_shifts_the_masked_figures_are_of_those_that_it_has():
    lips = features(3)
    found = lip_sync.masked(lip_sync.distances(lips, lips))
    assert found["av_offset_masked"] == 0 and found["lse_d_masked"] == pytest.approx(0, abs=1e-3)
    assert np.isfinite(list(found.values())).all()


def test_the_figures_of_drawn_windows_are_those_of_their_rows():
    lips = features(60)
    found = lip_sync.distances(lips, heard(lips, 3))
    drawn = found[np.tile(np.arange(10, 40), 2)]
    assert lip_sync.offset(drawn) == 3
    assert lip_sync.distance(drawn) == pytest.approx(found[10:40].mean(axis=0).min())


def test_a_long_clip_is_compared_as_its_parts_are():
    lips, voices = features(1100), features(1100, seed=5)
    found = lip_sync.distances(lips, voices)
    assert found.shape == (1100, 31)
    assert found[1020:1080] == pytest.approx(lip_sync.distances(lips[1000:], voices[1000:])[20:80])


def test_lips_and_voices_that_differ_in_number_are_refused():
    with pytest.raises(ValueError, match="5 windows of lips and 6 of voice"):
        lip_sync.distances(features(5), features(6))
