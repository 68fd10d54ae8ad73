"""The story of one job: what the finished video holds."""

from pathlib import Path

import pytest

from contract.errors import LeaseLost, NoFace
from contract.job import JobOptions
from contract.settings import Settings
from worker.progress import JobProgress
from worker.render import render
from worker.setup import set_up
from worker.stopwatch import Stopwatch

DEMO = Path(__file__).parents[2] / "demo"


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

    class Revoked(JobProgress):
        def advance(self, frames=1):
            raise LeaseLost("another worker holds this job now")

    before = threading.active_count()
    with pytest.raises(LeaseLost):
        render(
            DEMO / "portrait.mp4", DEMO / "voice-short.wav", tmp_path / "a.mp4",
            JobOptions(), tools, Revoked(), Stopwatch(),
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
