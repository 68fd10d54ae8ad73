import numpy as np
import pytest

from worker.faces.face import CHIN, INNER_LIP_BOTTOM, INNER_LIP_TOP, MOUTH_LEFT, MOUTH_RIGHT
from worker.faces.mesh import INPUT, Square, _crop
from worker.media.frame import Frame

NOSE_TIP = 4


def acquired(models, frame):
    [detection] = models.detector.detect(frame)
    return models.mesh.acquire(frame, detection)


def test_the_points_lie_on_the_features_of_the_portrait(models, frame_of, portrait):
    points = acquired(models, frame_of(portrait)).points
    by_hand = {NOSE_TIP: (225, 126), MOUTH_LEFT: (202, 140), MOUTH_RIGHT: (246, 140), CHIN: (223, 178)}
    for index, place in by_hand.items():
        assert np.linalg.norm(points[index] - place) < 5


def test_the_portrait_smiles_with_its_lips_apart(models, frame_of, portrait):
    face = acquired(models, frame_of(portrait))
    assert face.points[INNER_LIP_TOP, 1] < face.points[INNER_LIP_BOTTOM, 1]
    assert 0.03 < face.aperture < 0.15


@pytest.mark.parametrize(
    ("scale", "degrees"),
    [(0.5, 0), (1.5, 20), (1.5, -40), (4.0, 0)],
    ids=["small", "turned", "tilted", "shrunk"],
)
def test_the_mesh_goes_with_the_face(models, frame_of, posed, placement, portrait, scale, degrees):
    pose = placement(480, 300, scale, degrees)
    expected = acquired(models, frame_of(portrait)).points @ pose[:, :2].T + pose[:, 2]
    face = acquired(models, frame_of(posed(pose, (960, 640))))
    assert np.linalg.norm(face.points - expected, axis=1).mean() < 0.02 * face.height


def test_a_face_that_the_frame_cuts_through_is_fitted_beyond_the_edge(models, frame_of, portrait):
    whole = acquired(models, frame_of(portrait))
    cut = acquired(models, frame_of(portrait[:, 190:]))  # through the left eye
    assert (cut.points[:, 0] < 0).any()
    assert np.linalg.norm(cut.points - whole.points + np.array([190, 0]), axis=1).mean() < 0.05 * whole.height


@pytest.mark.parametrize("middle", [(300.0, 300.0), (-900.0, 50.0)], ids=["in the picture", "outside of it"])
def test_where_there_is_no_face_there_is_no_mesh(models, frame_of, middle):
    blank = frame_of(np.full((600, 600, 3), 90, np.uint8))
    assert models.mesh.fit(blank, Square(*middle, side=200, turn=0.3)) is None


def test_the_square_around_points_turns_with_them():
    rng = np.random.default_rng(1)
    points = rng.uniform(-50, 50, (468, 2)).astype(np.float32)
    points[33], points[263] = (-30, 0), (30, 0)
    quarter = np.array([[0, -1], [1, 0]])
    upright, turned = Square.around_points(points), Square.around_points(points @ quarter.T)
    assert upright.turn == 0
    assert turned.turn == pytest.approx(np.pi / 2)
    assert turned.side == pytest.approx(upright.side, rel=1e-5)
    assert quarter @ (upright.x, upright.y) == pytest.approx((turned.x, turned.y), abs=1e-4)


@pytest.mark.parametrize("side", [150.0, 250.0, 500.0, 700.0])
@pytest.mark.parametrize("turn", [0.0, 0.4])
def test_a_large_face_is_shrunk_without_a_shift(side, turn):
    slope = 0.2371  # levels of luma a pixel
    ramp = np.tile(16 + slope * np.arange(800), (800, 1)).round().astype(np.uint8)
    grey = np.full((400, 400), 128, np.uint8)
    square = Square(407.0, 391.0, side, turn)
    seen = _crop(Frame(0, 0, ramp, grey, grey), square, square.box(800, 800))[..., 1]
    rows, columns = np.indices((INPUT, INPUT))
    x = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ square.to_frame[0]
    inside = (x > 8) & (x < 792)  # the edge repeats itself beyond
    shift = (seen - slope * 255 / 219 * x)[inside].mean() / slope
    assert abs(shift) < 0.6  # pixels of the frame; rounding of luma alone gives 0.4
