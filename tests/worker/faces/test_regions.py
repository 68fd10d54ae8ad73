import cv2
import numpy as np
import pytest

from worker.faces.face import CHIN, FOREHEAD, MOUTH_LEFT, MOUTH_RIGHT
from worker.faces.regions import FACE_OVAL, FIXED, INNER_LIPS, JAW, OUTER_LIPS


@pytest.fixture(scope="module")
def points(models, frame_of, portrait):
    frame = frame_of(portrait)
    return models.mesh.acquire(frame, models.detector.detect(frame)[0]).points


def lies_within(points, ring):
    outline = points[list(ring)].reshape(-1, 1, 2)
    return lambda index: cv2.pointPolygonTest(outline, [float(each) for each in points[index]], True) > -0.5


@pytest.mark.parametrize("region", [INNER_LIPS, OUTER_LIPS, FACE_OVAL, JAW, FIXED])
def test_no_point_stands_twice_in_a_region(region):
    assert len(set(region)) == len(region)


def test_the_rings_lie_within_each_other(points):
    assert all(map(lies_within(points, OUTER_LIPS), INNER_LIPS))
    assert all(map(lies_within(points, FACE_OVAL), OUTER_LIPS + FIXED + JAW))


def test_each_point_of_the_inner_lips_has_its_neighbour_on_the_outer(points):
    gaps = np.linalg.norm(points[list(INNER_LIPS)][:, None] - points[list(OUTER_LIPS)], axis=-1)
    nearest = gaps.argmin(axis=1)
    assert np.abs((nearest - np.arange(20) + 10) % 20 - 10).max() <= 1


def test_the_landmarks_of_a_face_stand_where_the_regions_say(points):
    assert (OUTER_LIPS[0], OUTER_LIPS[10]) == (MOUTH_LEFT, MOUTH_RIGHT)
    assert JAW[len(JAW) // 2] == CHIN
    assert FACE_OVAL[0] == FOREHEAD
    across = points[list(JAW), 0]
    assert across[0] == across.min()
    assert across[-1] == across.max()
