"""Drawing into planes: exact where nothing is drawn, right where something is."""

import numpy as np
import pytest

from worker.engines.base import Mouth
from worker.media.blend import blend
from worker.media.frame import Box, Frame

BOX = Box(40, 20, 120, 90)


@pytest.fixture
def frame() -> Frame:
    """Smooth colours with some detail, as a camera gives."""
    x, y = np.meshgrid(np.arange(160), np.arange(120))
    luma = 110 + 40 * np.sin(x / 9) * np.cos(y / 7)
    chroma = [128 + 12 * np.sin(x[::2, ::2] / 20), 128 + 12 * np.cos(y[::2, ::2] / 16)]
    return Frame(0, 0, *(plane.round().astype(np.uint8) for plane in (luma, *chroma)))


def mouth(frame: Frame, colour=(180, 60, 60), alpha: float = 1.0) -> Mouth:
    rgb = np.full((BOX.height, BOX.width, 3), colour, np.uint8)
    return Mouth(rgb, np.full(rgb.shape[:2], alpha, np.float32), BOX)


def copied(frame: Frame) -> list[np.ndarray]:
    return [plane.copy() for plane in (frame.y, frame.u, frame.v)]


def test_a_frames_own_pixels_change_nothing(frame):
    before = copied(frame)
    blend(frame, Mouth(frame.rgb(BOX), np.ones((BOX.height, BOX.width), np.float32), BOX))
    for plane, was in zip((frame.y, frame.u, frame.v), before, strict=True):
        assert np.array_equal(plane, was)


def test_an_opaque_drawing_is_shown_as_drawn(frame):
    blend(frame, mouth(frame))
    shown = frame.rgb(BOX)[4:-4, 4:-4].astype(int)
    assert np.abs(shown - (180, 60, 60)).max() <= 4


def test_half_an_alpha_is_half_of_both(frame):
    before = frame.rgb(BOX).astype(float)
    blend(frame, mouth(frame, alpha=0.5))
    shown = frame.rgb(BOX)[4:-4, 4:-4]
    assert np.abs(shown - (before[4:-4, 4:-4] + (180, 60, 60)) / 2).max() <= 4


def test_where_alpha_is_0_all_planes_stay_bit_exact(frame):
    drawn = mouth(frame)
    rng = np.random.default_rng(0)
    drawn.alpha[:] = rng.uniform(0, 1, drawn.alpha.shape) * (rng.uniform(0, 1, drawn.alpha.shape) > 0.3)
    before, whole = copied(frame), np.zeros((120, 160))
    whole[BOX.top : BOX.bottom, BOX.left : BOX.right] = drawn.alpha
    blend(frame, drawn)
    clear = whole == 0
    assert np.array_equal(frame.y[clear], before[0][clear])
    touching = clear.reshape(60, 2, 80, 2).any(axis=(1, 3))
    assert np.array_equal(frame.u[touching], before[1][touching])
    assert np.array_equal(frame.v[touching], before[2][touching])
    assert not np.array_equal(frame.y, before[0])


def test_a_drawing_at_the_frames_edge_and_an_odd_patch_of_alpha_fit(frame):
    box = Box(150, 110, 160, 120)
    drawn = Mouth(np.zeros((10, 10, 3), np.uint8), np.zeros((10, 10), np.float32), box)
    drawn.alpha[7:, 9:] = 1
    blend(frame, drawn)
    assert (frame.y[117:, 159] == 16).all()
    assert not (frame.y[116, 150:] == 16).any()


def test_a_wholly_transparent_drawing_changes_nothing(frame):
    before = copied(frame)
    blend(frame, mouth(frame, alpha=0.0))
    assert np.array_equal(frame.y, before[0])
