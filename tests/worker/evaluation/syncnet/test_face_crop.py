import cv2
import numpy as np
import pytest

from worker.evaluation.syncnet.face_crop import crop
from worker.evaluation.syncnet.face_track import Square
from worker.media.frame import Frame

WIDTH, HEIGHT = 320, 180


@pytest.fixture(scope="module")
def frame():
    """Coloured noise of a few pixels' size."""
    rng = np.random.default_rng(6)

    def plane(width, height):
        small = rng.integers(0, 256, (height // 6, width // 6), dtype=np.uint8)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)

    return Frame(0, 0, plane(WIDTH, HEIGHT), plane(WIDTH // 2, HEIGHT // 2), plane(WIDTH // 2, HEIGHT // 2))


def upstreams(frame, square):
    """The whole picture with a grey margin, then a piece of it (run_pipeline.py: crop_video)."""
    margin = int(square.half * 1.8)
    wide = np.pad(frame.rgb()[..., ::-1], ((margin,) * 2, (margin,) * 2, (0, 0)), constant_values=110)
    x, y, half = square.x + margin, square.y + margin, square.half
    return cv2.resize(
        wide[int(y - half) : int(y + half * 1.8), int(x - half * 1.4) : int(x + half * 1.4)], (224, 224)
    )


@pytest.mark.parametrize(
    "square",
    [
        Square(160.3, 80.7, 40.2),
        Square(161.0, 81.0, 39.0),
        Square(12.4, 20.1, 61.7),
        Square(310.9, 171.5, 55.5),
        Square(-8.2, 90.0, 70.0),
        Square(160.0, 190.5, 100.0),
        Square(160.0, 90.0, 300.0),
    ],
    ids=["within", "whole", "top left", "bottom right", "half outside", "below", "larger than the frame"],
)
def test_the_crop_is_upstreams_to_the_last_bit(frame, square):
    found = crop(frame, square)
    assert found.shape == (224, 224, 3) and found.dtype == np.uint8
    assert np.array_equal(found, upstreams(frame, square))


def test_what_is_not_in_the_frame_is_grey(frame):
    assert (crop(frame, Square(-8.2, 90.0, 70.0))[:, :100] == 110).all()


def test_a_square_far_beside_the_frame_shows_grey_where_upstream_fails(frame):
    found = crop(frame, Square(-60.0, 90.0, 70.0))
    assert (found[:, :150] == 110).all() and not (found[:, 190:] == 110).all()


def test_the_colours_come_as_blue_green_red():
    red = Frame(
        0, 0, np.full((180, 320), 63, np.uint8), *(np.full((90, 160), each, np.uint8) for each in (102, 240))
    )
    blue, green, red_channel = crop(red, Square(160, 80, 30))[112, 112]
    assert red_channel > 240 and blue < 10 and green < 10
