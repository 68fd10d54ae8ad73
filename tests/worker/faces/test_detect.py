import numpy as np
import pytest

from worker.faces.detect import LEFT_EYE, RIGHT_EYE


@pytest.mark.parametrize("size", [(640, 360), (360, 640), (176, 144)])
def test_a_face_is_boxed_in_frame_pixels_whatever_the_shape_of_the_frame(
    models, frame_of, posed, placement, size
):
    nose = np.array([size[0] * 0.4, size[1] * 0.5])
    [found] = models.detector.detect(frame_of(posed(placement(*nose, scale=0.8), size)))
    assert np.linalg.norm(found.centre - nose) < 15
    assert 60 < found.size < 110
    left, right = found.keypoints[LEFT_EYE], found.keypoints[RIGHT_EYE]
    assert left[0] < nose[0] < right[0]
    assert max(left[1], right[1]) < nose[1]


def test_each_of_two_people_is_found_once(models, frame_of, people):
    found = models.detector.detect(frame_of(people((40, 1.0), (380, 1.3))))
    small, large = sorted(found, key=lambda each: each.box[0])
    assert 40 < small.centre[0] < 190
    assert 380 < large.centre[0] < 575
    assert large.size == pytest.approx(1.3 * small.size, rel=0.1)


def test_a_frame_without_a_face_has_no_detections(models, frame_of):
    assert models.detector.detect(frame_of(np.full((360, 640, 3), 90, np.uint8))) == []
