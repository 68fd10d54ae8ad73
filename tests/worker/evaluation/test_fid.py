from pathlib import Path

import numpy as np
import pytest

from benchmarks.golden.pictures import FEATURE_SETS, feature_sets
from worker.evaluation.fid import fid, kid

GOLDEN = Path(__file__).parent / "golden.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


def gaussian(n, deviations, shift=0.0, seed=0):
    """(n, d) whose covariance and mean are just those, not nearly."""
    d = len(deviations)
    raw = np.random.RandomState(seed).standard_normal((n, d))
    q, _ = np.linalg.qr(raw - raw.mean(axis=0))
    return (q * np.sqrt(n - 1) * np.array(deviations) + shift).astype(np.float32)


def test_fid_of_gaussians_is_the_closed_form():
    first, second = gaussian(400, [1, 2, 3]), gaussian(300, [2, 2, 1], shift=0.5, seed=1)
    # |shift|² of three axes, and the squared differences of the deviations, whose axes agree
    assert fid(first, second) == pytest.approx(3 * 0.25 + 1 + 0 + 4, rel=1e-5)


def test_fid_of_turned_gaussians_is_the_closed_form():
    """Covariances diag(a², b²) and its quarter turn: tr of the root of their product is 2ab."""
    first = gaussian(500, [3, 1])
    assert fid(first, first[:, ::-1].copy()) == pytest.approx(10 + 10 - 4 * 3, rel=1e-5)


@pytest.mark.parametrize("name", FEATURE_SETS)
def test_fid_is_torch_fidelitys_with_more_rows_than_columns_and_with_fewer(golden, name):
    tolerance = 1e-6 if name == "wide" else 1e-7  # theirs takes the root of a singular product
    assert fid(*feature_sets(name)) == pytest.approx(float(golden[f"fid_{name}"]), rel=tolerance)


@pytest.mark.parametrize(("n", "d"), [(40, 512), (600, 32)])
def test_fid_of_a_set_with_itself_is_nothing_and_it_goes_both_ways(n, d):
    first, second = (np.random.RandomState(seed).rand(n, d).astype(np.float32) for seed in (0, 1))
    assert fid(first, first) == pytest.approx(0, abs=1e-9)
    assert fid(first, second) == pytest.approx(fid(second, first), rel=1e-9)


@pytest.mark.parametrize("name", FEATURE_SETS)
def test_kid_is_torch_fidelitys(golden, name):
    value, deviation = kid(*feature_sets(name))
    wanted, spread = golden[f"kid_{name}"]
    assert value == pytest.approx(wanted, rel=1e-5)
    if name == "many":  # of the others a subset is all there is
        assert deviation == pytest.approx(spread, rel=1e-3)


@pytest.mark.parametrize("paired", [False, True])
def test_kid_of_one_distribution_is_nothing_within_its_deviation(paired):
    """Twenty draws: their mean is not a bias, and the deviation is of their size."""
    draw = np.random.RandomState(0)
    found = [kid(*draw.standard_normal((2, 60, 16)).astype(np.float32), paired=paired) for _ in range(20)]
    values, deviations = np.array(found).T
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(20)
    assert 0.5 < deviations.mean() / values.std() < 2


def test_kid_of_pairs_is_not_below_nothing_because_a_frame_is_like_itself():
    first = np.random.RandomState(0).rand(100, 64).astype(np.float32)
    assert kid(first, first, paired=True) == pytest.approx(
        (0.0, 0.0), abs=1e-12
    )  # BLAS adds in its own order
    assert kid(first, first)[0] < -1e-4  # what leaving pairs in costs
    nearly = first + np.float32(0.01) * np.random.RandomState(1).rand(100, 64).astype(np.float32)
    assert kid(first, nearly, paired=True)[0] > 0


def test_kid_is_the_same_each_time():
    assert kid(*feature_sets("few")) == pytest.approx(kid(*feature_sets("few")), abs=1e-12)
