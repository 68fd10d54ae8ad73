from pathlib import Path

import numpy as np
import pytest

from contract.job import JobOptions
from worker.engines.musetalk import crop
from worker.engines.musetalk.variants import V1, V15
from worker.media.frame import Box

GOLDEN = Path(__file__).parent / "golden_faces.npz"
FRAME = (640, 480)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as numbers:
        return dict(numbers)


def points(left=100, top=50, right=200, bottom=250, middle=150):
    """68 points with those extremes and the nose's 29th at `middle`; all others at the middle of them."""
    drawn = np.tile(np.array([(left + right) / 2, (top + bottom) / 2]), (68, 1))
    drawn[:4] = (left, middle), (right, middle), ((left + right) / 2, bottom), ((left + right) / 2, top)
    drawn[29] = (left + right) / 2, middle
    return drawn.astype(np.float32)


def box_of(*args, variant=V15, size=FRAME, margin=0, **kwargs):
    return crop.face_box(points(*args, **kwargs), variant, JobOptions(extra_margin=margin), *size)


def test_boxes_are_upstreams_to_the_pixel_with_and_without_a_shift(golden):
    inside = 0
    for face, shift, wanted in zip(golden["points"], golden["shifts"], golden["boxes"], strict=True):
        found = crop.face_box(face, V1, JobOptions(bbox_shift=int(shift)), *FRAME)
        left, top, right, bottom = (int(each) for each in wanted)
        assert found == Box(
            left, top, min(right, 640), min(bottom, 480)
        )  # upstream does not cut at 640 and 480
        inside += right <= 640 and bottom <= 480
    assert 40 <= inside < len(golden["boxes"])


def test_a_shift_moves_the_line_that_the_drawing_begins_at_in_the_first_release_alone():
    options = JobOptions(bbox_shift=20, extra_margin=0)
    assert crop.face_box(points(), V1, options, *FRAME) == Box(100, 90, 200, 250)
    assert crop.face_box(points(), V15, options, *FRAME) == Box(100, 50, 200, 250)


def test_a_margin_is_added_below_the_chin_in_the_second_release_alone():
    assert box_of(margin=10) == Box(100, 50, 200, 260)
    assert box_of(margin=10, variant=V1) == Box(100, 50, 200, 250)


def test_fractions_are_cut_off_before_anything_is_computed():
    assert box_of(100.9, 50, 200.9, 250.9, 150.9) == Box(100, 50, 200, 250)


def test_a_box_never_leaves_the_frame():
    assert box_of(-40, 0, 90, 240, 110) == Box(0, 0, 90, 240)
    assert box_of(560, 0, 700, 240, 110) == Box(560, 0, 640, 240)
    assert box_of(100, 300, 200, 520, 420, margin=10) == Box(100, 320, 200, 480)


@pytest.mark.parametrize(
    "face",
    [
        (100, 50, 104, 250),
        (100, 50, 200, 150),
        (-200, 50, -20, 250),
        (700, 50, 800, 250),
        (100, 490, 200, 700),
    ],
    ids=["too narrow", "chin at the nose", "left of the frame", "right of it", "below it"],
)
def test_a_face_with_no_box_left_has_none(face):
    assert box_of(*face, middle=600 if face[1] > 480 else 150) is None


def test_the_square_of_the_mask_is_half_as_long_again_as_the_box_and_in_its_middle():
    assert crop.expanded(Box(100, 50, 200, 250)) == Box(0, 0, 300, 300)
    assert crop.expanded(Box(0, 0, 97, 131)) == Box(-49, -32, 145, 162)  # reaches over the frame


def test_pixels_beyond_what_there_is_are_black():
    rgb = np.full((4, 6, 3), 9, np.uint8)
    pixels = crop.cut(rgb, Box(10, 10, 16, 14), Box(14, 8, 20, 12))
    assert pixels.shape == (4, 6, 3)
    assert np.all(pixels[2:, :2] == 9)
    assert pixels.sum() == 4 * 3 * 9
    assert not crop.cut(rgb, Box(10, 10, 16, 14), Box(20, 20, 24, 24)).any()


def test_a_face_goes_to_256_and_back_without_losing_what_it_shows():
    rows, columns = np.mgrid[:120, :90]
    face = np.stack([rows * 2, columns * 2, rows + columns], axis=-1).astype(np.uint8)
    picture = crop.to_256(face)
    assert picture.shape == (256, 256, 3)
    back = crop.from_256(picture, 90, 120)
    assert back.shape == face.shape
    assert np.abs(back.astype(int) - face).max() <= 3


def test_a_face_grows_to_256_by_lanczos_and_what_was_drawn_shrinks_linearly():
    step = np.zeros((64, 64, 3), np.uint8)
    step[:, 32:] = 200
    assert crop.to_256(step).max() > 200  # Lanczos overshoots at an edge, a linear filter never does
    assert crop.from_256(crop.to_256(step // 2 * 2), 300, 300).max() <= crop.to_256(step).max()
