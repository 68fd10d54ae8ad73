"""The story of one job: which mouth goes on which frame, and what the finished video holds."""

from pathlib import Path

import numpy as np
import pytest

from contract.errors import LeaseLost, NoFace
from contract.job import JobOptions
from contract.settings import Settings
from worker.engines.base import Mouth
from worker.faces.face import Face
from worker.media.frame import Box, Frame
from worker.progress import JobProgress
from worker.render import Cast, draw, render
from worker.setup import set_up
from worker.stopwatch import Stopwatch

DEMO = Path(__file__).parents[2] / "demo"
SIZE = 16


class StillEngine:
    """Paints a square whose brightness says which frame's pixels and which feature it was given."""

    name = "still"
    batch_size = 3

    def region(self, face, width, height):
        return Box(0, 0, width, height)

    def prepare(self, crops):
        return [int(crop.rgb[0, 0, 0]) for crop in crops]

    def generate(self, prepared, features):
        assert len(prepared) == len(features) <= self.batch_size
        return [self._mouth(tone + feature) for tone, feature in zip(prepared, features, strict=True)]

    def _mouth(self, tone):
        box = Box(4, 4, 8, 8)
        return Mouth(np.full((4, 4, 3), tone, np.uint8), np.ones((4, 4), np.float32), box)


class Blinking:
    """A tracker that sees a face in all source frames but some, and remembers what it was asked."""

    def __init__(self, without):
        self.without, self.asked = without, []

    def track(self, frame):
        self.asked.append(frame.source_index)
        if frame.source_index in self.without:
            return None
        return Face(np.zeros((468, 2), np.float32), 1.0)


def frames(source_indices):
    for index, source in enumerate(source_indices):
        y = np.full((SIZE, SIZE), 16 + 4 * source, np.uint8)
        grey = np.full((SIZE // 2, SIZE // 2), 128, np.uint8)
        yield Frame(index, source, y, grey, grey.copy())


def test_a_frame_without_a_face_keeps_its_place_untouched_and_shifts_no_mouth():
    cast = Cast(Blinking(without={3}))
    features = [20 * index for index in range(10)]
    drawn = list(draw(frames(range(10)), features, StillEngine(), cast, Stopwatch()))
    assert [frame.index for frame in drawn] == list(range(10))
    untouched = next(frames([3])).y
    for frame, before in zip(drawn, frames(range(10)), strict=True):
        painted = (frame.y != before.y).nonzero()
        if frame.index == 3:
            np.testing.assert_array_equal(frame.y, untouched)
        elif features[frame.index]:
            expected = int(before.rgb()[0, 0, 0]) + features[frame.index]
            assert abs(int(frame.rgb()[5, 5, 0]) - expected) <= 1
            assert set(painted[0]) == set(painted[1]) == {4, 5, 6, 7}
    assert (cast.total, cast.with_face) == (10, 9)


def test_a_source_frame_that_shows_again_is_tracked_once():
    tracker = Blinking(without={1})
    cast = Cast(tracker)
    bounced = [0, 1, 2, 2, 1, 0, 0, 1]
    list(draw(frames(bounced), [0] * 8, StillEngine(), cast, Stopwatch()))
    assert tracker.asked == [0, 1, 2]
    assert (cast.total, cast.with_face) == (8, 5)


def test_a_video_that_ends_before_its_audio_is_a_defect_and_not_a_short_output():
    with pytest.raises(ValueError, match="longer than"):
        list(draw(frames(range(3)), [0] * 4, StillEngine(), Cast(Blinking(set())), Stopwatch()))


@pytest.fixture(scope="module")
def tools(weights_folder):
    return set_up(Settings(weights=weights_folder))


def rendered(output, tools, video="portrait.mp4", audio="voice-short.wav", **options):
    progress = JobProgress()
    done = render(DEMO / video, DEMO / audio, output, JobOptions(**options), tools, progress, Stopwatch())
    return done, progress


def test_the_demo_pair_is_in_sync_and_every_frame_has_a_mouth(tools, tmp_path):
    done, progress = rendered(tmp_path / "a.mp4", tools)
    assert done.frames.total == done.encoded.frames == progress.frames == 139  # 5.56 s of audio at 25 fps
    assert done.frames.without_face == 0
    assert done.sync_check.correlation >= 0.5
    assert done.sync_check.correlation - done.sync_check.shifted_correlation >= 0.3
    assert abs(done.sync_check.lag_frames) <= 1


def test_the_same_pair_gives_the_same_bytes(tools, tmp_path):
    first, _ = rendered(tmp_path / "a.mp4", tools, sync_mode="cut", end=1.0)
    second, _ = rendered(tmp_path / "b.mp4", tools, sync_mode="cut", end=1.0)
    assert first.encoded.sha256 == second.encoded.sha256
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_source_without_a_face_is_rejected(tools, tmp_path):
    from PIL import Image

    wall = tmp_path / "wall.png"
    Image.new("RGB", (320, 240), (90, 120, 90)).save(wall)
    with pytest.raises(NoFace, match="none of the 139 frames"):
        rendered(tmp_path / "a.mp4", tools, video=wall)


def test_a_face_that_the_picture_does_not_have_is_named(tools, tmp_path):
    with pytest.raises(
        NoFace, match=r"none of the 139 frames shows 2 usable faces \(face=1\); choose another face"
    ):
        rendered(tmp_path / "a.mp4", tools, video="still.jpg", face=1)


def test_a_lost_lease_ends_the_render_and_leaves_no_thread(tools, tmp_path):
    import threading

    class Revoking(JobProgress):
        def advance(self, frames=1):
            self.revoke()
            super().advance(frames)

    before = threading.active_count()
    with pytest.raises(LeaseLost):
        render(
            DEMO / "portrait.mp4", DEMO / "voice-short.wav", tmp_path / "a.mp4",
            JobOptions(), tools, Revoking(), Stopwatch(),
        )  # fmt: skip
    assert threading.active_count() == before


def test_looking_at_the_finished_video_once_more_is_progress(tools, tmp_path):
    """An hour of video takes longer to measure than a lease outlives silence."""

    class Told(JobProgress):
        touched_at_the_end = 0

        def touch(self):
            self.touched_at_the_end += self.total > 0 and self.frames == self.total

    progress, short = Told(), JobOptions(sync_mode="cut", end=1.0)
    pair = DEMO / "portrait.mp4", DEMO / "voice-short.wav"
    render(*pair, tmp_path / "a.mp4", short, tools, progress, Stopwatch())
    assert progress.touched_at_the_end >= progress.total == 25
