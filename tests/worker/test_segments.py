"""An attempt that goes on where another was interrupted: the same bytes, and little of the work again."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from contract import keys
from contract.job import JobOptions
from contract.settings import Settings
from worker.progress import JobProgress
from worker.render import render
from worker.segments import segment as segment_file
from worker.segments.chain import Segments, remove_segments
from worker.setup import set_up
from worker.stopwatch import Stopwatch

DEMO = Path(__file__).parents[2] / "demo"
FRAMES = 139
"""Of the demo's short voice; segments of 20 frames are seven."""
PART = {"start": 0.4, "end": 2.0}
"""40 frames of the source, so that the output shows them forward, backward, and so on."""


@pytest.fixture(autouse=True)
def _short_segments(monkeypatch):
    monkeypatch.setattr(segment_file, "SEGMENT_FRAMES", 20)


@pytest.fixture(scope="module")
def tools(weights_folder):
    return set_up(Settings(weights=weights_folder, prepared_bytes=0))


class Killed(BaseException):
    """What ends an attempt here; no code of ours catches it."""


class Dying(JobProgress):
    """Kills the render with its n-th frame, counted from where it begins."""

    def __init__(self, after=None):
        super().__init__()
        self.left = after

    def advance(self, frames=1):
        super().advance(frames)
        if self.left is not None and frames:
            self.left -= frames
            if self.left <= 0:
                raise Killed


@pytest.fixture
def bench(storage, tools, tmp_path):
    """Attempts at one job, each with a folder and tools of its own."""
    return Bench(storage, tools, tmp_path)


class Bench:
    def __init__(self, storage, tools, folder):
        self.storage, self.tools, self.folder = storage, tools, folder
        self.attempts = 0

    def attempt(self, after=None, made_with=None, kept=True, tools=None, **options):
        """The result and its bytes; None where it was killed."""
        self.attempts += 1
        here = self.folder / str(self.attempts)
        here.mkdir()
        place = Segments(self.storage, "job", here, made_with or {"software": "1"}) if kept else None
        tools = replace(tools or self.tools, segments=place)
        pair, output = (DEMO / "portrait.mp4", DEMO / "voice-short.wav"), here / "video.mp4"
        progress = Dying(after)
        try:
            done = render(*pair, output, JobOptions(**options), tools, progress, Stopwatch())
        except Killed:
            return None
        finally:
            assert [each for each in here.iterdir() if each != output] == []
        return done, output.read_bytes()

    def names(self):
        return [each.key for each in self.storage.list(keys.segments("job"))]

    def clear(self):
        remove_segments(self.storage, "job")


@pytest.mark.parametrize("mode", ["bounce", "loop", "freeze"])
def test_however_often_it_is_killed_the_video_is_the_same_bytes(bench, mode):
    whole, expected = bench.attempt(kept=False, sync_mode=mode, **PART)
    assert whole.frames.resumed == 0
    dice, done = random.Random(mode), None
    for after in (dice.randrange(1, 45) for _ in range(4)):
        bench.attempt(after, sync_mode=mode, **PART)
    done, made = bench.attempt(sync_mode=mode, **PART)
    assert made == expected
    assert 0 < done.frames.resumed < FRAMES and done.frames.resumed % 20 == 0
    assert replace(done, frames=whole.frames, warnings=()) == replace(whole, warnings=())
    assert (done.frames.total, done.frames.with_face) == (FRAMES, whole.frames.with_face)


def test_what_is_lost_is_less_than_a_segment_and_what_waits_for_its_upload(bench):
    assert bench.attempt(after=75, **PART) is None
    done, _ = bench.attempt(**PART)
    assert done.frames.resumed >= 40
