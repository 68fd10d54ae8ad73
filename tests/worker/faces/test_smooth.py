import math

import numpy as np
import pytest

from worker.faces.smooth import OneEuro

FPS = 25.0


def one_euro_of_the_paper(samples, floor, slope, speed_cutoff, size):
    """Algorithm 1 of Casiez et al. 2012, a scalar at a time, with the speed in sizes a second."""

    def alpha(cutoff):
        return 1 / (1 + (1 / (2 * math.pi * cutoff)) * FPS)

    smoothed, speed, out = None, 0.0, []
    for sample in samples:
        if smoothed is None:
            smoothed = sample
        else:
            change = (sample - smoothed) * FPS / size
            speed = alpha(speed_cutoff) * change + (1 - alpha(speed_cutoff)) * speed
            share = alpha(floor + slope * abs(speed))
            smoothed = share * sample + (1 - share) * smoothed
        out.append(smoothed)
    return out


def test_it_is_the_formula_of_the_paper():
    wave = 40 * np.sin(np.arange(60) / 5) + np.random.default_rng(2).normal(0, 1, 60)
    points = np.zeros((60, 3, 2), np.float32)
    points[:, 1, 0] = wave
    one_euro = OneEuro(FPS, floor=1.0, slope=5.0, speed_cutoff=2.0)
    smoothed = np.stack([one_euro.smooth(each, size=150.0) for each in points])
    expected = one_euro_of_the_paper(points[:, 1, 0].astype(float), 1.0, 5.0, 2.0, 150.0)
    assert smoothed[:, 1, 0] == pytest.approx(expected, abs=1e-4)
    assert not smoothed[:, [0, 2]].any()


def test_a_face_twice_as_large_is_smoothed_the_same():
    points = np.random.default_rng(3).normal(0, 2, (20, 5, 2)).astype(np.float32)
    near, far = (OneEuro(FPS, floor=1.0, slope=80.0) for _ in range(2))
    for each in points:
        assert near.smooth(2 * each, size=200.0) == pytest.approx(2 * far.smooth(each, size=100.0), abs=1e-4)


def test_after_a_reset_the_points_are_taken_as_they_are():
    one_euro = OneEuro(FPS, floor=1.0, slope=80.0)
    one_euro.smooth(np.zeros((4, 2), np.float32), size=100.0)
    one_euro.reset()
    moved = np.full((4, 2), 300, np.float32)
    assert np.array_equal(one_euro.smooth(moved, size=100.0), moved)
