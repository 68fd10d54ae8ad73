import math

import cv2
import numpy as np
import pytest

from worker.faces.detect import Detector
from worker.faces.track import FaceModels, FaceTracker
from worker.media.frame import Frame


class CountingDetector:
    """The real detector, which remembers in which calls of `detect` it was asked."""

    def __init__(self, detector: Detector) -> None:
        self.detector, self.asked = detector, []

    def detect(self, frame: Frame):
        self.asked.append(frame.index)
        return self.detector.detect(frame)


@pytest.fixture
def counting(models):
    return FaceModels(CountingDetector(models.detector), models.mesh)


def middle(face):
    """x of the face's middle."""
    return face and float(face.points[:, 0].mean())


def moved(pose, points):
    return points @ pose[:, :2].T + pose[:, 2]


@pytest.mark.parametrize("smooth", [True, False])
def test_a_face_that_moves_turns_and_comes_near_is_followed_by_one_detection(
    counting, frame_of, posed, placement, smooth
):
    poses = [
        placement(
            300 + 180 * math.sin(k / 10),
            180 + 40 * math.sin(k / 7),
            1.5 + 0.6 * math.sin(k / 15),
            25 * math.sin(k / 9),
        )
        for k in range(60)
    ]
    tracker = FaceTracker(counting, smooth=smooth)
    faces = [tracker.track(frame_of(posed(pose), k)) for k, pose in enumerate(poses)]
    linear, offset = poses[0][:, :2], poses[0][:, 2]
    own = (faces[0].points - offset) @ np.linalg.inv(linear).T
    errors = [
        np.linalg.norm(f.points - moved(p, own), axis=1).mean() / f.height
        for f, p in zip(faces, poses, strict=True)
    ]
    assert max(errors) < 0.02
    assert counting.detector.asked == [0]


def test_smoothing_steadies_the_points_of_a_still_face_under_noise(models, frame_of, portrait):
    rng = np.random.default_rng(4)
    small = cv2.resize(portrait, (256, 256), interpolation=cv2.INTER_AREA)
    noisy = [
        frame_of(np.clip(small + rng.normal(0, 12, small.shape), 0, 255).astype(np.uint8)) for _ in range(30)
    ]

    def tremor(smooth):
        tracker = FaceTracker(models, smooth=smooth)
        points = np.stack([tracker.track(frame).points for frame in noisy])
        return np.linalg.norm(np.diff(points[5:], axis=0), axis=-1).mean()

    assert tremor(smooth=True) < 0.6 * tremor(smooth=False)


@pytest.mark.parametrize(
    ("choose", "between"),
    [
        ("largest", (220, 420)),
        ("left", (20, 170)),
        ("right", (450, 600)),
        (0, (20, 170)),
        (1, (220, 420)),
        (2, (450, 600)),
    ],
)
def test_the_face_to_follow_is_chosen_by_the_viewers_left_and_right(
    models, frame_of, people, choose, between
):
    trio = frame_of(people((20, 1.0), (220, 1.3), (450, 1.0)))
    tracker = FaceTracker(models, choose)
    for _ in range(3):
        low, high = between
        assert low < middle(tracker.track(trio)) < high


def test_a_face_of_a_number_that_nobody_has_is_waited_for(models, frame_of, people):
    tracker = FaceTracker(models, choose=1)
    assert [tracker.track(frame_of(people((20, 1.0)))) for _ in range(3)] == [None] * 3
    assert tracker.track(frame_of(people((20, 1.0), (450, 1.0)))) is not None


def test_after_a_cut_the_choice_is_made_again(models, frame_of, people):
    alone, both = people((420, 1.3)), people((40, 1.0), (420, 1.3), place=1)
    tracker = FaceTracker(models, choose="left")
    before = [tracker.track(frame_of(alone)) for _ in range(2)]
    after = [tracker.track(frame_of(both)) for _ in range(2)]
    assert [middle(face) > 420 for face in before] == [True, True]
    assert [middle(face) < 200 for face in after] == [True, True]


def test_a_face_that_is_hidden_for_a_moment_is_not_exchanged_for_another(models, frame_of, people):
    both, one = frame_of(people((20, 1.0), (450, 1.0))), frame_of(people((450, 1.0)))
    tracker = FaceTracker(models, choose="left")
    faces = [tracker.track(frame) for frame in [both, both, one, one, one, both, both]]
    assert [middle(face) for face in faces[2:5]] == [None] * 3
    assert all(middle(face) < 200 for face in faces[:2] + faces[5:])


def test_a_face_that_leaves_and_returns_elsewhere_is_found_within_a_fifth_of_a_second(
    models, frame_of, people
):
    here, nobody, there = (frame_of(people(*each)) for each in ([(20, 1.2)], [], [(440, 1.2)]))
    tracker = FaceTracker(models)
    faces = [tracker.track(frame) for frame in [here] * 3 + [nobody] * 30 + [there] * 6]
    assert all(faces[:3])
    assert faces[3:33] == [None] * 30
    assert middle(faces[37]) > 440


def test_where_no_face_is_the_detector_is_asked_every_fifth_frame_and_no_less(counting, frame_of):
    rng = np.random.default_rng(5)
    tracker = FaceTracker(counting, fps=25)
    frames = [frame_of(rng.integers(0, 255, (180, 320, 3)).astype(np.uint8), k) for k in range(60)]
    assert [tracker.track(frame) for frame in frames] == [None] * 60
    asked = counting.detector.asked
    assert len(asked) <= 60 / 5 + 6
    assert max(np.diff(asked)) == 5
    assert asked[:3] == [0, 1, 2]


def test_a_face_under_24_pixels_is_none(models, frame_of, posed, placement):
    size = (96, 72)
    frames = [frame_of(posed(placement(48, 36, scale), size)) for scale in (0.18, 0.5)]
    small, large = (FaceTracker(models).track(frame) for frame in frames)
    assert small is None
    assert large is not None


def test_a_face_slides_out_of_the_frame_until_half_of_it_is_gone(models, frame_of, posed, placement):
    tracker = FaceTracker(models)
    faces = [tracker.track(frame_of(posed(placement(x, 180, 2.0)))) for x in range(160, -140, -15)]
    shown = [face is not None for face in faces]
    assert shown[:10] == [True] * 10  # down to the nose at x = 25
    assert not shown[-1]
    assert all(np.mean(face.points[:, 0] >= 0) >= 0.4 for face in faces if face)


def test_the_same_video_gives_the_same_points_again(models, frame_of, posed, placement):
    frames = [frame_of(posed(placement(200 + 9 * k, 180))) for k in range(8)]
    first, second = FaceTracker(models), FaceTracker(models)
    for frame in frames:
        assert np.array_equal(first.track(frame).points, second.track(frame).points)


@pytest.mark.parametrize("smooth", [True, False])
def test_a_tracker_that_takes_over_another_s_state_goes_on_to_the_last_bit(models, frame_of, people, smooth):
    """At every frame of a story: a face moves, hides, comes back; a cut, two faces, nobody, a flash."""
    story = [people((40 + 4 * k, 1.2)) for k in range(5)] + [people()] * 8 + [people((60, 1.2))] * 2
    story += [people((20, 1.0), (420, 1.2), place=1)] * 3 + [np.full((360, 640, 3), 255, np.uint8)]
    story += [people((20, 1.0), (424, 1.2), place=1)] * 2
    frames = [frame_of(picture, k) for k, picture in enumerate(story)]
    alone = FaceTracker(models, smooth=smooth)
    states, expected = [], []
    for frame in frames:
        states.append(alone.state())
        expected.append(alone.track(frame))
    assert {face is None for face in expected} == {True, False}
    for begin in range(len(frames)):
        other = FaceTracker(models, smooth=smooth)
        other.track(frame_of(people((300, 1.4), place=2)))  # which must leave nothing behind
        other.restore(states[begin])
        for frame, face in zip(frames[begin : begin + 4], expected[begin:], strict=False):
            again = other.track(frame)
            assert (again is None) == (face is None)
            assert again is None or (again.points.tobytes(), again.score) == (
                face.points.tobytes(),
                face.score,
            )
