import numpy as np
import pytest

from worker.engines.preview.lips import Lips
from worker.engines.preview.shape import LOWER_INNER, STILL, UPPER_INNER, Pose, Shape
from worker.engines.preview.voice import Viseme
from worker.faces.face import CHIN, INNER_LIP_BOTTOM, INNER_LIP_TOP, MOUTH_LEFT, MOUTH_RIGHT

SHUT, OPEN = Viseme(0.0, 0.0, 0.0), Viseme(1.0, 0.0, 0.0)
TURNS = [0.0, 30.0, -75.0, 180.0]


def with_shut_lips(points):
    shut = points.copy()
    shut[LOWER_INNER] = shut[UPPER_INNER]
    return shut


def test_the_lips_edges_are_named_point_for_point_from_left_to_right(points):
    assert UPPER_INNER[5] == INNER_LIP_TOP and LOWER_INNER[5] == INNER_LIP_BOTTOM
    assert (UPPER_INNER[[0, -1]] == LOWER_INNER[[0, -1]]).all()
    for edge in (UPPER_INNER, LOWER_INNER):
        assert (np.diff(points[edge, 0]) > 0).all()


def test_the_pose_of_the_source_moves_nothing(points):
    np.testing.assert_array_equal(Shape(points).moved(Pose()), points)


def test_a_talking_source_is_shut_when_silence_is_heard(points):
    shape = Shape(points)
    assert shape.parted == 1.0
    assert Lips.of(shape, shape.pose(SHUT)).gap == 0.0


def test_a_source_with_shut_lips_is_left_alone_when_silence_is_heard(points):
    shape = Shape(with_shut_lips(points))
    assert shape.pose(SHUT) == Pose()


@pytest.mark.parametrize("source", [with_shut_lips, np.copy], ids=["shut", "smiling"])
def test_each_step_of_openness_opens_the_lips_further(points, source):
    shape = Shape(source(points))
    gaps = [Lips.of(shape, shape.pose(Viseme(step, 0.0, 0.0))).gap for step in np.linspace(0, 1, 9)]
    assert (np.diff(gaps) > 0).all()
    assert 0.08 < gaps[-1] / shape.axes.height < 0.12


@pytest.mark.parametrize("degrees", TURNS)
def test_a_tilted_face_opens_along_its_own_axis(points, turned, degrees):
    _, tilted = turned(degrees)
    moves = Shape(tilted).moved(Shape(tilted).pose(OPEN)) - tilted
    upright = Shape(points).moved(Shape(points).pose(OPEN)) - points
    angle = np.radians(degrees)
    back = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(moves @ back, upright, atol=1e-3)
    assert moves[CHIN] @ back @ [0.0, 1.0] > 1.0


def test_nose_eyes_and_cheeks_stay_where_they_are(points):
    shape = Shape(points)
    pose = shape.pose(Viseme(1.0, 0.0, 1.0))
    np.testing.assert_array_equal(shape.moved(pose)[STILL], points[STILL])


def test_width_spreads_the_corners_and_rounding_draws_them_in(points):
    shape = Shape(points)

    def width(viseme):
        left, right = shape.moved(shape.pose(viseme))[[MOUTH_LEFT, MOUTH_RIGHT]]
        return np.linalg.norm(right - left)

    assert width(Viseme(0.5, 0.0, 1.0)) < width(Viseme(0.5, 0.0, 0.0)) < width(Viseme(0.5, 1.0, 0.0))


def test_a_face_in_profile_moves_less_and_at_last_not_at_all(points):
    def moves(share):
        """With the nose's tip at that share of the way between the face's edges."""
        seen = points.copy()
        seen[4] = points[234] + share * (points[454] - points[234])
        shape = Shape(seen)
        return np.abs(shape.moved(shape.pose(OPEN)) - seen).max()

    assert Shape(points).axes.frontality == 1.0
    assert moves(0.5) > moves(0.2) > moves(0.05) == 0.0


def test_jitter_of_the_points_moves_the_mouth_by_no_more_than_itself(points):
    noise = np.random.default_rng(0)
    gaps = []
    for _ in range(50):
        shape = Shape(points + noise.normal(scale=0.1, size=points.shape).astype(np.float32))
        gaps.append(Lips.of(shape, shape.pose(Viseme(0.5, 0.0, 0.0))).gap)
    assert np.std(gaps) < 0.15
