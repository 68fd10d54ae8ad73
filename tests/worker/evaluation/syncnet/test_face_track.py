import numpy as np
import pytest

from worker.evaluation.syncnet.face_track import Square, Tracker, why_not

NOBODY = np.zeros((0, 4))


def box(x, y=200.0, side=150.0):
    return [x - side / 2, y - side / 2, x + side / 2, y + side / 2]


def faces(*boxes):
    return np.array(boxes, np.float64).reshape(-1, 4)


def seen(frames):
    """All tracks of a shot, in the order of their ends."""
    tracker = Tracker()
    ended = [track for index, boxes in enumerate(frames) for track in tracker.see(index, boxes)]
    return ended + tracker.end()


def test_a_face_that_moves_is_one_track():
    (track,) = seen([faces(box(200 + 5 * t)) for t in range(120)])
    assert (track.first, track.last, track.frames, track.detections) == (0, 119, 120, 120)
    assert why_not(track) == ""


def test_a_face_that_jumps_by_half_of_the_union_is_another():
    assert len(seen([faces(box(200)), faces(box(249))])) == 1  # overlap 0.507
    assert len(seen([faces(box(200)), faces(box(251))])) == 2  # 0.496


def test_two_faces_are_two_tracks_in_whatever_order_they_are_found():
    frames = [faces(*[box(100), box(400)][:: -1 if t % 3 else 1]) for t in range(110)]
    assert [(each.detections, each.first) for each in seen(frames)] == [(110, 0), (110, 0)]


def test_an_older_track_has_the_first_choice_and_the_surest_face_that_fits():
    tracker = Tracker()
    tracker.see(0, faces(box(200)))
    tracker.see(1, faces(box(230), box(190)))  # both fit; the first is the surer
    older, newer = tracker.live
    assert older.detections == 2 and older.square(1).x == 0  # a track of two: most of 13 is outside
    assert (newer.first, newer.detections) == (1, 1)


def test_a_face_that_is_missed_for_24_frames_goes_on_and_its_boxes_are_interpolated():
    (track,) = seen([faces(box(200)), *[NOBODY] * 24, faces(box(225))])
    assert (track.frames, track.detections) == (26, 2)
    assert track.square(10).x == pytest.approx(210)


def test_a_face_that_is_missed_for_25_frames_is_another_one_when_it_comes_back():
    first, second = seen([faces(box(200)), *[NOBODY] * 25, faces(box(200))])
    assert (first.last, second.first) == (0, 26)


def test_a_track_ends_as_soon_as_it_cannot_go_on():
    tracker = Tracker()
    tracker.see(0, faces(box(200)))
    assert [bool(tracker.see(index, NOBODY)) for index in range(1, 28)] == [False] * 25 + [True, False]


def test_the_square_is_the_median_of_13_frames_and_zeros_beside_the_track():
    centres = 200 + np.random.default_rng(1).normal(0, 5, 40)
    sides = 150 + np.random.default_rng(2).normal(0, 5, 40)
    (track,) = seen([faces(box(x, x / 2, side)) for x, side in zip(centres, sides, strict=True)])
    for at in (0, 3, 20, 39):
        x, half = (
            np.median(np.pad(each, 6)[at : at + 13]) for each in (centres, sides / 2)
        )  # what scipy.signal.medfilt(each, 13) gives
        assert track.square(at) == Square(pytest.approx(x), pytest.approx(x / 2), pytest.approx(half))


def test_half_the_longer_side_of_a_box_counts():
    (track,) = seen([faces([100, 100, 200, 260])] * 20)
    assert track.square(10) == Square(150, 180, 80)


def test_a_square_is_settled_six_frames_later_or_at_the_tracks_end():
    tracker = Tracker()
    for index in range(10, 30):
        tracker.see(index, faces(box(200)))
    (track,) = tracker.live
    assert track.settled == 30 - 6
    tracker.see(30, NOBODY)
    assert track.settled == 30 - 6
    tracker.end()
    assert track.settled == 30


def test_squares_that_are_settled_never_change():
    tracker, before = Tracker(), {}
    for index in range(60):
        missing = index % 7 in (2, 3)
        tracker.see(index, NOBODY if missing else faces(box(200 + 3 * np.sin(index), side=150 + index)))
        (track,) = tracker.live
        before |= {at: track.square(at) for at in range(track.settled) if at not in before}
    assert len(before) > 50
    assert all(track.square(at) == square for at, square in before.items())


@pytest.mark.parametrize(("count", "reason"), [(100, "100 detections at 25 fps"), (101, "")])
def test_a_track_needs_more_than_100_detections(count, reason):
    (track,) = seen([faces(box(200))] * count)
    assert reason in why_not(track) and bool(reason) == bool(why_not(track))


def test_interpolated_boxes_are_no_detections():
    (track,) = seen([faces(box(200)) if t % 2 == 0 else NOBODY for t in range(199)])
    assert track.frames == 199 and "100 detections" in why_not(track)


def test_a_face_needs_more_than_100_pixels():
    (small,) = seen([faces(box(200, side=100))] * 110)
    assert "the tracked face is 100 px large" in why_not(small)
    (tall,) = seen([faces([100, 100, 150, 202])] * 110)
    assert why_not(tall) == ""
