from pathlib import Path

import numpy as np
import pytest

from contract.job import JobOptions
from worker.engines.musetalk import crop
from worker.engines.musetalk.landmarks import points68, with_chin
from worker.engines.musetalk.variants import V1

PORTRAIT = Path(__file__).parents[1] / "preview" / "portrait_points.npy"


@pytest.fixture(scope="module")
def mesh():
    return np.load(PORTRAIT).astype(np.float32)


@pytest.fixture(scope="module")
def points(mesh):
    return points68(mesh)


def test_there_are_68_points_and_the_mesh_stays_as_it_was(mesh):
    before = mesh.copy()
    found = points68(mesh)
    assert found.shape == (68, 2)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(mesh, before)


def test_the_jaw_runs_from_the_viewers_left_over_the_chin_to_the_right(points):
    jaw = points[:17]
    assert np.all(np.diff(jaw[:, 0]) > 0)
    assert jaw[:, 1].argmax() == 8
    assert np.all(np.diff(jaw[:9, 1]) > 0)
    assert np.all(np.diff(jaw[8:, 1]) < 0)


def test_the_nose_runs_down_from_between_the_eyes(points, mesh):
    assert np.all(np.diff(points[27:31, 1]) > 0)
    np.testing.assert_array_equal(points[27], mesh[168])
    np.testing.assert_array_equal(points[30], mesh[4])
    assert np.all(np.diff(points[31:36, 0]) > 0)
    assert points[31:36, 1].min() > points[30, 1]


def test_point_29_is_where_dlib_puts_it_on_the_bridge(points):
    part = (points[29] - points[27])[1] / (points[30] - points[27])[1]
    assert part == pytest.approx(0.69, abs=0.001)


def test_brows_eyes_and_lips_lie_in_their_order(points):
    for brow in (points[17:22], points[22:27]):
        assert np.all(np.diff(brow[:, 0]) > 0)
    for eye in (points[36:42], points[42:48]):
        assert eye[0, 0] == eye[:, 0].min()
        assert eye[3, 0] == eye[:, 0].max()
        assert eye[1:3, 1].max() < eye[4:6, 1].min()  # upper lid, lower lid
    outer, inner = points[48:60], points[60:68]
    for ring, half in ((outer, 6), (inner, 4)):
        assert ring[0, 0] == ring[:, 0].min()
        assert ring[half, 0] == ring[:, 0].max()
        assert ring[1:half, 1].mean() < ring[half + 1 :, 1].mean()
    assert outer[:, 0].min() < inner[:, 0].min()
    assert points[17:27, 1].max() < points[36:48, 1].max()


def test_the_chin_reaches_below_the_meshs_by_a_few_hundredths_of_the_face(mesh):
    height = np.linalg.norm(mesh[10] - mesh[152])
    moved = np.linalg.norm(with_chin(mesh) - mesh, axis=1) / height
    assert 0.03 < moved[152] < 0.06
    assert moved[[10, 127, 356, 4, 61, 291, 14, 17]].max() == 0  # nothing above the mouth, nothing inside


def test_a_turned_face_has_its_points_turned(mesh, points):
    turn = np.array([[0.8, -0.6], [0.6, 0.8]], dtype=np.float32)
    np.testing.assert_allclose(points68(mesh @ turn.T), points @ turn.T, atol=0.01)


def test_a_mesh_that_fell_into_one_point_gives_that_point(mesh):
    np.testing.assert_array_equal(points68(np.full_like(mesh, 7)), np.full((68, 2), 7, np.float32))


def test_the_box_halves_the_face_between_the_eyes_and_the_mouth(mesh):
    """The drawn half begins on the nose, below the eyes; the chin is the bottom."""
    box = crop.face_box(points68(mesh), V1, JobOptions(), 2000, 2000)
    middle = (box.top + box.bottom) / 2
    assert mesh[[33, 133, 362, 263], 1].max() < middle < mesh[4, 1]
    assert 0 <= box.bottom - mesh[152, 1] < 0.06 * np.linalg.norm(mesh[10] - mesh[152])
