"""Real clips: they lie beside the checkout or the tests skip."""

from itertools import pairwise

import numpy as np
import pytest

from worker.faces.track import FaceTracker


@pytest.mark.parametrize("name", ["sun.mp4", "carphone.mp4", "talking.avi"])
def test_the_face_is_found_in_nearly_all_frames_and_never_jumps(models, clip, frames_of, name):
    frames = list(frames_of(clip(name)))[:250]
    smooth, raw = FaceTracker(models), FaceTracker(models, smooth=False)
    faces = [(smooth.track(frame), raw.track(frame)) for frame in frames]
    seen = [(s, r) for s, r in faces if s and r]
    assert len(seen) >= 0.95 * len(frames)
    steps = [distance(b, a) for (a, _), (b, _) in pairwise(seen)]
    assert max(steps) < 0.1
    assert np.mean([distance(s, r) for s, r in seen]) < 0.005


def distance(one, other):
    """Mean over the points, in face heights."""
    return np.linalg.norm(one.points - other.points, axis=1).mean() / one.height
