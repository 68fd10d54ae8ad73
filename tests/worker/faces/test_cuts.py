import numpy as np
import pytest

from worker.faces.cuts import Cuts
from worker.media.frame import Frame


def frame(luma):
    half = (luma.shape[0] // 2, luma.shape[1] // 2)
    grey = np.full(half, 128, np.uint8)
    return Frame(0, 0, np.clip(luma, 16, 235).astype(np.uint8), grey, grey)


def shot(seed):
    """A (180, 320) picture of 24 patches of light and dark."""
    return np.kron(np.random.default_rng(seed).uniform(30, 220, (4, 6)), np.ones((45, 54)))[:, :320]


ONE, OTHER = shot(1), shot(2)
WHITE, BLACK = np.full_like(ONE, 235), np.full_like(ONE, 16)
NOISE = np.random.default_rng(3).normal(0, 25, ONE.shape)


@pytest.mark.parametrize(
    ("lumas", "begins"),
    [
        ([ONE, ONE, ONE], [False, False, False]),
        ([ONE, OTHER, OTHER], [False, True, False]),
        ([ONE, OTHER, ONE], [False, True, True]),
        ([ONE, ONE + NOISE, ONE - NOISE], [False, False, False]),
        ([ONE, ONE * 0.4 + 140, ONE], [False, False, False]),  # a flash
        ([ONE, WHITE, ONE], [False, False, False]),  # a flash that blinds
        ([ONE, ONE * 0.5, ONE * 0.2, BLACK, ONE * 0.4], [False] * 5),  # a fade out and in
        ([ONE, BLACK, OTHER], [False, False, True]),  # a cut through black
        ([ONE, np.roll(ONE, 8, axis=1), np.roll(ONE, 16, axis=1)], [False, False, False]),  # a fast pan
        ([128 + NOISE, 128 - NOISE, 128 + NOISE], [False, False, False]),
    ],
)
def test_a_shot_begins_where_the_picture_is_another(lumas, begins):
    cuts = Cuts()
    assert [cuts.begins(frame(luma)) for luma in lumas] == begins
