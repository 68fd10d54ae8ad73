import numpy as np
import pytest

from worker.evaluation.syncnet.boxes import overlaps


def test_the_overlap_is_the_share_of_the_union():
    box = np.array([0.0, 0, 100, 100])
    others = np.array([[0.0, 0, 100, 100], [50, 0, 150, 100], [50, 50, 150, 150], [100, 0, 200, 100]])
    assert overlaps(box, others) == pytest.approx([1, 1 / 3, 1 / 7, 0])


def test_of_no_boxes_there_are_no_overlaps():
    assert overlaps(np.array([0.0, 0, 1, 1]), np.zeros((0, 4))).shape == (0,)
