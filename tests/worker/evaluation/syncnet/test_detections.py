import numpy as np

from worker.evaluation.syncnet.detections import Detections
from worker.media.frame import Frame


def frame(value, index=0):
    grey = np.full((4, 4), 128, np.uint8)
    return Frame(index, index, np.full((8, 8), value, np.uint8), grey, grey)


class Detector:
    def __init__(self):
        self.asked = 0

    def __call__(self, picture):
        self.asked += 1
        return np.array([[0.0, 0, picture[0, 0, 0], 1]])


def test_a_picture_is_looked_at_once_wherever_it_stands():
    detector = Detector()
    detections = Detections(detector)
    first = detections.of(frame(90, index=3))
    assert np.array_equal(detections.of(frame(90, index=400)), first)
    assert detector.asked == 1


def test_another_clips_frame_of_the_same_index_is_another_picture():
    detections = Detections(Detector())
    assert detections.of(frame(90))[0, 2] != detections.of(frame(91))[0, 2]


def test_of_too_many_pictures_the_oldest_is_forgotten():
    detector = Detector()
    detections = Detections(detector, most=2)
    for value in (20, 30, 40, 30, 40):
        detections.of(frame(value))
    assert detector.asked == 3
    detections.of(frame(20))
    assert detector.asked == 4
