"""Numbers of python_speech_features 0.6, `mfcc(samples, 16000)`, of the same samples."""

import numpy as np
import pytest

from worker.evaluation.syncnet.mfcc import mfcc

FIRST = [24.260305, -34.845565, -23.340204, -22.993559, -20.652278, -17.272624, -3.834954]
FIRST += [9.467777, 13.809761, 2.673561, -19.377935, -32.545845, -16.515916]
LAST = [24.135875, -30.79317, -18.930917, -17.175554, -13.033741, -7.772106, 4.833625]
LAST += [14.995066, 16.219902, 3.62543, -18.428941, -31.087216, -15.5947]


def samples(count):
    """Whole numbers with tones in them."""
    return ((np.arange(count, dtype=np.int64) * 7919 + 5) % 2003 * 31 - 31000).astype(np.int16)


def test_the_cepstra_are_the_packages_also_of_a_last_frame_that_is_not_full():
    found = mfcc(samples(1000))
    assert found.shape == (5, 13)
    assert found[0] == pytest.approx(FIRST, abs=2e-6)
    assert found[-1] == pytest.approx(LAST, abs=2e-6)


@pytest.mark.parametrize(
    ("count", "frames"), [(1, 1), (400, 1), (401, 2), (560, 2), (561, 3), (640, 3), (16000, 99)]
)
def test_there_is_a_frame_for_every_10_ms_until_all_samples_are_heard(count, frames):
    assert mfcc(samples(count)).shape == (frames, 13)


def test_silence_has_cepstra_too():
    found = mfcc(np.zeros(1600, np.int16))
    assert np.isfinite(found).all()
    assert found[:, 0] == pytest.approx(np.log(np.finfo(float).eps))


def test_a_long_sound_is_that_of_its_parts():
    long = samples(160 * 6100 + 400)
    found = mfcc(long)
    assert found[5990:6010] == pytest.approx(mfcc(long[160 * 5989 :])[1:21], abs=1e-9)


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="no samples"):
        mfcc(np.zeros(0, np.int16))
