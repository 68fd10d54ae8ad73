"""What was encoded is measured while the next segments are drawn, and the numbers are those of the whole file."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contract.errors import Cancelled, EngineFailed, NotMedia, Preempted
from contract.job import JobOptions
from contract.settings import Settings
from worker.evaluation.aperture import Gauge
from worker.evaluation.sync import check, curves, loudness
from worker.faces.track import FaceModels
from worker.media.audio import read_audio
from worker.media.limits import Limits
from worker.progress import JobProgress
from worker.render import render
from worker.segments import segment as segment_file
from worker.segments.chain import Segments
from worker.setup import set_up
from worker.stopwatch import Stopwatch

DEMO = Path(__file__).parents[3] / "demo"
PAIR = DEMO / "portrait.mp4", DEMO / "voice-short.wav"
FRAMES, LENGTH = 60, 15
"""Of the output and of a segment: four of them."""
OPTIONS = JobOptions(sync_mode="cut", end=FRAMES / 25)


@pytest.fixture
def _short_segments(monkeypatch):
    monkeypatch.setattr(segment_file, "SEGMENT_FRAMES", LENGTH)


@pytest.fixture(scope="module")
def tools(weights_folder):
    return set_up(Settings(weights=weights_folder, prepared_bytes=0))


@pytest.fixture
def models(weights_folder):
    return FaceModels.load(weights_folder, threads=1)


@pytest.fixture
def gauge(models, tmp_path):
    """A new one each time."""
    return lambda **more: Gauge(tmp_path, models, Limits(), "largest", Stopwatch(), **more)


def rendered(output, tools, progress=None, watch=None):
    return render(*PAIR, output, OPTIONS, tools, progress or JobProgress(), watch or Stopwatch())


def measured_whole(gauge, path, frames=FRAMES):
    """The sync check and the curves of a finished file, read in one go."""
    with gauge() as whole:
        whole.measure(path, frames)
        aperture = whole.curve()
    loud = loudness(read_audio(PAIR[1], Limits()).fitted(frames).samples_16k, frames)
    return check(aperture, loud), curves(aperture, loud)


@pytest.fixture
def running():
    """The threads that measure or write; there must be none of them after a render."""
    return lambda: [each for each in threading.enumerate() if each.name in ("write-behind", "read-ahead")]


@pytest.mark.usefixtures("_short_segments")
def test_segments_measured_one_after_another_give_the_numbers_of_the_whole_file(tools, gauge, tmp_path):
    done = rendered(tmp_path / "a.mp4", tools)
    assert (done.sync_check, done.curves) == measured_whole(gauge, tmp_path / "a.mp4")
    assert done.sync_check.status == "ok" and done.sync_check.frames == FRAMES
    assert [each.name for each in tmp_path.iterdir()] == ["a.mp4"], "no part of it is left"


@pytest.mark.usefixtures("_short_segments")
def test_segments_of_an_earlier_attempt_are_measured_like_those_that_are_drawn(
    tools, gauge, tmp_path, storage
):
    class Stopped(JobProgress):
        def advance(self, frames=1):
            super().advance(frames)
            if self.frames == 40:
                raise Preempted("stop")

    segments = Segments(storage, "job", tmp_path, {})
    with pytest.raises(Preempted):
        rendered(tmp_path / "a.mp4", replace(tools, segments=segments), Stopped())
    done = rendered(tmp_path / "a.mp4", replace(tools, segments=segments))
    assert done.frames.resumed == 2 * LENGTH
    assert (done.sync_check, done.curves) == measured_whole(gauge, tmp_path / "a.mp4")


def test_a_short_video_is_measured_when_it_is_finished(tools, gauge, tmp_path):
    done = rendered(tmp_path / "a.mp4", tools)
    assert (done.sync_check, done.curves) == measured_whole(gauge, tmp_path / "a.mp4")


@pytest.mark.usefixtures("_short_segments")
def test_finished_segments_are_measured_while_the_next_ones_are_drawn(tools, tmp_path, monkeypatch):
    measured = threading.Event()
    look = Gauge._look

    def looked(gauge, taken):
        look(gauge, taken)
        measured.set()

    class Waiting(JobProgress):
        def advance(self, frames=1):
            super().advance(frames)
            if self.frames == FRAMES - 1:
                assert measured.wait(60), "nothing is measured before the stream ends"

    monkeypatch.setattr(Gauge, "_look", looked)
    watch = Stopwatch()
    rendered(tmp_path / "a.mp4", tools, Waiting(), watch)
    assert watch.seconds()["measure"] > watch.seconds()["sync_check"] > 0


@pytest.mark.usefixtures("_short_segments")
@pytest.mark.parametrize("part", [0, 3], ids=["the first segment", "the last one"])
def test_what_goes_wrong_in_measuring_fails_the_render_and_leaves_nothing(
    tools, tmp_path, monkeypatch, running, part
):
    looked = []

    def failing(gauge, taken):
        looked.append(taken)
        if len(looked) == part + 1:
            raise EngineFailed("LiteRT failed")

    monkeypatch.setattr(Gauge, "_look", failing)
    with pytest.raises(EngineFailed, match="LiteRT failed"):
        rendered(tmp_path / "a.mp4", tools)
    assert len(looked) == part + 1, "nothing is measured after it"
    assert running() == []
    assert {each.name for each in tmp_path.iterdir()} <= {"a.mp4"}


@pytest.mark.usefixtures("_short_segments")
def test_a_job_that_is_cancelled_while_it_is_measured_stops_at_once(tools, tmp_path, running):
    class CancelledAtTheEnd(JobProgress):
        looks = 0

        def touch(self):
            if self.frames == FRAMES:
                self.looks += 1
            if self.looks == 5:
                self.revoke(Cancelled("a person cancelled the job"))
            super().touch()

    progress = CancelledAtTheEnd()
    with pytest.raises(Cancelled):
        rendered(tmp_path / "a.mp4", tools, progress)
    assert progress.looks <= 6
    assert running() == []


def test_whoever_leaves_with_an_error_does_not_wait_for_what_is_not_measured(
    gauge, tmp_path, running, monkeypatch
):
    begun, slow = threading.Event(), gauge()
    track = slow._tracker.track

    def tracked(frame):
        begun.set()
        time.sleep(0.1)
        return track(frame)

    monkeypatch.setattr(slow._tracker, "track", tracked)
    began = time.monotonic()
    with pytest.raises(KeyError), slow:
        slow.measure(PAIR[0], 400)
        slow.measure(PAIR[0], 400)
        assert begun.wait(30)
        began = time.monotonic()
        raise KeyError("the stream failed")
    assert time.monotonic() - began < 10, "of 80 seconds"
    assert running() == []
    assert list(tmp_path.iterdir()) == []


def test_a_part_is_removed_once_it_is_measured_and_other_files_stay(gauge, tmp_path):
    video = tmp_path / "video.mp4"
    video.write_bytes(PAIR[0].read_bytes())
    with gauge() as one:
        part = one.folder / "part.mp4"
        part.write_bytes(video.read_bytes())
        one.measure(part, 3)
        one.measure(video, 3)
        curve = one.curve()
        assert list(one.folder.iterdir()) == []
    assert [each.name for each in tmp_path.iterdir()] == ["video.mp4"]
    assert curve.shape == (6,) and curve.dtype == np.float32 and np.isfinite(curve).all()


def test_a_part_that_cannot_be_decoded_is_an_error_and_not_a_gap(gauge, tmp_path):
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(NotMedia, match=r"text\.mp4"), gauge() as one:
        one.measure(tmp_path / "text.mp4", 3)
        one.curve()


def test_every_frame_that_is_looked_at_is_progress(gauge):
    touched = []
    with gauge(touch=lambda: touched.append(threading.current_thread().name)) as one:
        one.measure(PAIR[0], 10)
        one.curve()
    assert len(touched) >= 10
    assert set(touched) == {"write-behind"}
