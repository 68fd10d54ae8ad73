"""An attempt that goes on where another was interrupted: the same bytes, and little of the work again."""

import hashlib
import json
import random
import threading
import time
import wave
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from safetensors import safe_open

from contract import keys
from contract.errors import LeaseLost, Preempted, StoreUnavailable
from contract.job import Delivery, Job, JobOptions, Row, Source
from contract.manifest import Findings, WarningRecord
from contract.settings import Settings
from tests.worker.still import Blinking, KeepingEngine, StillEngine, frames
from worker.attempt import Workshop
from worker.drawing import draw
from worker.evaluation.aperture import Gauge
from worker.faces.face import Face
from worker.faces.trace import Trace
from worker.media import encoder
from worker.media.source import VideoSource
from worker.media.writer import Encoded
from worker.prepared.shelf import Shelf
from worker.preparing import Preparer
from worker.progress import JobProgress
from worker.render import render
from worker.segments import segment as segment_file
from worker.segments.chain import Segments, installed
from worker.segments.segment import Segment, SegmentDamaged, read_segment, write_segment
from worker.setup import Toolbox, set_up
from worker.stopwatch import Stopwatch
from worker.tasks import Ticket

DEMO = Path(__file__).parents[2] / "demo"
FRAMES, SOURCE_FRAMES, LENGTH = 45, 24, 10
"""Of the output, of the source (which is shown forward, backward, and forward), and of a segment."""


@pytest.fixture(autouse=True)
def _short_segments(monkeypatch):
    monkeypatch.setattr(segment_file, "SEGMENT_FRAMES", LENGTH)
    monkeypatch.setattr("worker.render.Gauge", Unread)


class Unread(Gauge):
    """Counts what it is to measure, and finds all lips closed: evaluation/test_aperture.py has the true one."""

    def _look(self, taken):
        part, frames = taken
        self._apertures += [0.0] * frames
        if part.parent == self.folder:
            part.unlink()


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A small talking head and the beginning of a voice."""
    folder = tmp_path_factory.mktemp("pair")
    video, audio = folder / "video.mp4", folder / "audio.wav"
    with av.open(str(DEMO / "portrait.mp4")) as source, av.open(str(video), "w") as made:
        stream = made.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for index, frame in enumerate(source.decode(video=0)):
            if index == SOURCE_FRAMES:
                break
            small = frame.reformat(width=320, height=180)
            small.pts, small.time_base = index, Fraction(1, 25)
            made.mux(stream.encode(small))
        made.mux(stream.encode(None))
    with wave.open(str(DEMO / "voice-short.wav")) as voice, wave.open(str(audio), "wb") as made:
        made.setparams(voice.getparams())
        made.writeframes(voice.readframes(voice.getframerate() * FRAMES // 25))
    return video, audio


@pytest.fixture(scope="module")
def tools(weights_folder):
    return set_up(Settings(weights=weights_folder, prepared_bytes=0))


class Killed(BaseException):
    """What ends an attempt here; no code of ours catches it."""


class Dying(JobProgress):
    """Kills the render with its n-th frame, counted from where this attempt begins."""

    left = None
    done = 0
    """Frames that an earlier attempt had done."""

    def enter(self, state, total=0, done=0):
        super().enter(state, total, done)
        self.done = max(self.done, done)

    def advance(self, frames=1):
        super().advance(frames)
        if self.left is not None and frames == 1:
            self.left -= 1
            if self.left == 0:
                raise Killed


class Attempts:
    """Attempts at one job, each with a folder of its own."""

    def __init__(self, storage, tools, pair, folder):
        self.storage, self.tools, self.pair, self.folder = storage, tools, pair, folder
        self.number = self.done = 0

    def __call__(self, kill_at=None, software="1", segments=True, tools=None, **options):
        """What a render gave and its bytes; None where it was killed."""
        self.number += 1
        here = self.folder / f"attempt-{self.number}"
        here.mkdir()
        place = Segments(self.storage, "job", here, {"software": software}) if segments else None
        mine = replace(tools or self.tools, segments=place)
        progress, output = Dying(), here / "video.mp4"
        progress.left = kill_at
        try:
            done = render(*self.pair, output, JobOptions(**options), mine, progress, Stopwatch())
        except Killed:
            return None
        finally:
            self.done = progress.done
            assert {each.name for each in here.iterdir()} <= {"video.mp4"}
        assert progress.frames == FRAMES
        return done, output.read_bytes()

    def names(self):
        return [each.key for each in self.storage.list(keys.segments("job"))]


@pytest.fixture
def attempt(storage, tools, pair, tmp_path):
    return Attempts(storage, tools, pair, tmp_path)


@pytest.mark.parametrize("mode", ["bounce", "loop"])
def test_however_often_it_is_killed_the_video_is_the_same_bytes(attempt, mode, monkeypatch):
    went, go_to = [], VideoSource.go_to
    monkeypatch.setattr(VideoSource, "go_to", lambda *which: went.append(go_to(*which)) or went[-1])
    whole, expected = attempt(segments=False, sync_mode=mode)
    dice, resumed = random.Random(mode), [0]
    while (again := attempt(dice.randrange(20, 30), sync_mode=mode)) is None:
        resumed.append(len(attempt.names()) * LENGTH)
    done, made = again
    assert made == expected
    assert done.frames.resumed == resumed[-1] > resumed[1] > 0
    assert replace(done, frames=whole.frames) == whole
    assert done.frames.with_face == whole.frames.with_face > 0
    assert went and all(went)  # where the source plays for the first time, what was drawn is not even read


def test_after_all_was_written_nothing_is_drawn_again(attempt):
    _, expected = attempt()
    done, made = attempt(kill_at=1)
    assert made == expected
    assert (done.frames.resumed, done.frames.prepared) == (FRAMES, 0)


def test_a_short_job_leaves_no_segment_and_is_one(attempt, monkeypatch):
    monkeypatch.setattr(segment_file, "SEGMENT_FRAMES", FRAMES)
    attempt()
    assert attempt.names() == []


def test_other_software_other_threads_or_another_length_of_segments_begin_anew(attempt, monkeypatch):
    attempt(kill_at=30)
    assert len(attempt.names()) >= 2
    attempt(kill_at=1, software="2")
    assert attempt.done == 0
    attempt(kill_at=1, tools=replace(attempt.tools, threads=attempt.tools.threads + 1))
    assert attempt.done == 0
    attempt(kill_at=1)
    assert attempt.done >= 2 * LENGTH
    monkeypatch.setattr(segment_file, "SEGMENT_FRAMES", LENGTH + 1)
    attempt(kill_at=1)
    assert attempt.done == 0


def test_another_encoder_or_another_card_begins_anew_and_the_same_one_goes_on(attempt, monkeypatch):
    monkeypatch.setattr(encoder, "SMALLEST", 16)
    mpeg4 = {"bf": "2", "g": "250", "b": "4000000"}
    one, other = (
        replace(attempt.tools, encoder=encoder.Encoder("stand-in", "mpeg4", mpeg4, card))
        for card in ("one card", "another")
    )
    whole, expected = attempt(segments=False, tools=one)
    assert whole.encoded.encoder == "stand-in"
    assert attempt(kill_at=33, tools=one) is None
    for tools in (other, attempt.tools):
        attempt(kill_at=1, tools=tools)
        assert attempt.done == 0
    done, made = attempt(tools=one)
    assert made == expected
    assert done.frames.resumed >= 2 * LENGTH


@pytest.mark.parametrize(("reason", "kept"), [(Preempted, 2), (LeaseLost, 0)])
def test_a_worker_that_is_stopped_hands_over_what_is_finished(storage, tmp_path, monkeypatch, reason, kept):
    """Also what still waits for its upload; but not where the job is another's, or cancelled."""
    begun, upload = threading.Event(), storage.upload

    def slow(*arguments, advance):
        begun.set()
        time.sleep(0.3)
        upload(*arguments, advance=advance)

    def touch():
        raise reason("stop")

    monkeypatch.setattr(storage, "upload", slow)
    segments = Segments(storage, "job", tmp_path, {}, touch)
    with pytest.raises(reason), segments.chain({}) as chain:
        chain.keep(Segment(0, 0, 0, (), None))
        assert begun.wait(10)
        chain.keep(Segment(LENGTH, 0, 0, (), None))
        touch()
    assert len(list(storage.list(keys.segments("job")))) == kept


@pytest.fixture
def finished(attempt):
    """The bytes of a job of which all segments are there."""
    return attempt()[1]


def made_with(path):
    with safe_open(path, framework="numpy") as file:
        return json.loads(file.metadata()["dubline-segment-1"])["made_with"]


def spoil(storage, key, how):
    body = storage.get(key)
    if how == "gone":
        storage.delete(key)
    elif how == "cut off":
        storage.put(key, body[: len(body) // 2])
    elif how == "a bit turned":
        storage.put(key, body[:-9] + bytes([body[-9] ^ 1]) + body[-8:])
    else:
        storage.put(key, b"<html>")


@pytest.mark.parametrize("how", ["gone", "cut off", "a bit turned", "something else"])
def test_a_segment_that_is_not_whole_is_left_out_with_all_after_it(attempt, finished, how, caplog):
    spoil(attempt.storage, attempt.names()[2], how)
    done, made = attempt()
    assert made == finished
    assert done.frames.resumed == 2 * LENGTH
    assert "a segment is left out" in caplog.text or how == "gone"


def test_segments_of_another_row_of_attempts_do_not_follow(attempt, finished, tmp_path):
    """Each names the one before it: after another first segment the old second does not fit."""
    first, second, *_ = attempt.names()
    name = first.rsplit("/", 1)[1]
    attempt.storage.download(first, tmp_path / name)
    link = {"made_with": made_with(tmp_path / name), "after": ""}
    segment = read_segment(tmp_path / name, link)
    write_segment(tmp_path / "other", replace(segment, with_face=1), link)
    other = (tmp_path / "other").read_bytes()
    folder, sha256 = first.rsplit("/", 1)[0], hashlib.sha256(other).hexdigest()
    attempt.storage.delete(first)
    attempt.storage.put(f"{folder}/00000000-{sha256}.safetensors", other)
    done, made = attempt()
    assert second in attempt.names()
    assert (done.frames.resumed, made) == (LENGTH, finished)


def test_where_the_bucket_takes_no_segment_the_job_is_rendered_all_the_same(attempt, monkeypatch, caplog):
    _, expected = attempt(segments=False)

    def away(*_, **__):
        raise StoreUnavailable("the store is away")

    monkeypatch.setattr(attempt.storage, "upload", away)
    monkeypatch.setattr(attempt.storage, "list", away)
    assert attempt()[1] == expected
    assert caplog.text.count("an interruption would cost more") == 1


def test_a_scratch_folder_that_is_full_costs_the_segments_and_not_the_job(attempt, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("worker.segments.chain.write_segment", full)
    done, _ = attempt()
    assert done.frames.total == FRAMES
    assert attempt.names() == []
    assert caplog.text.count("an interruption would cost more") == 1


def test_an_attempt_at_a_delivered_row_goes_on_where_another_worker_was_killed(
    settings, storage, pair, weights_folder, tmp_path
):
    def perform(machine, progress):
        here = {"weights": weights_folder, "scratch": tmp_path / machine, "prepared_bytes": 0}
        mine, findings = settings.model_copy(update=here), Findings()
        try:
            Workshop(mine, storage, Toolbox(mine, storage)).perform(ticket, progress, findings)
        finally:
            assert list((tmp_path / machine).iterdir()) == []
        return findings

    sources = []
    for path in pair:
        key = keys.uploaded(hashlib.sha256(path.read_bytes()).hexdigest(), path.suffix)
        storage.put(key, path.read_bytes())
        sources.append(Source(uri=f"s3://{storage.bucket}/{key}"))
    delivery = Delivery(batch="b", row=Row(id="clip", job=Job(video=sources[0], audio=sources[1])))
    ticket = Ticket(delivery, "attempt", 1, datetime.now(UTC))
    killed = Dying()
    killed.left = 35
    with pytest.raises(Killed):
        perform("one", killed)
    assert perform("two", JobProgress()).frames.resumed in (20, 30)
    # the object under that key is another now, and the job the same: nothing pins it
    storage.put(sources[0].uri.split("/", 3)[3], (DEMO / "still.jpg").read_bytes())
    assert perform("three", JobProgress()).frames.resumed == 0


# Prepared frames beside segments


@pytest.mark.parametrize("second_has", ["the first one's shelf", "no shelf", "all of it"])
def test_a_shelf_of_prepared_frames_changes_no_byte_of_a_job_that_goes_on(attempt, tmp_path, second_has):
    def with_shelf(name):
        engine = KeepingEngine()
        shelf = Shelf(tmp_path / name, 2**30) if name else None
        return replace(attempt.tools, engine=engine, shelf=shelf)

    _, expected = attempt(segments=False, tools=with_shelf(None))
    if second_has == "all of it":
        attempt(segments=False, tools=with_shelf("full"))
    assert attempt(kill_at=33, tools=with_shelf("first")) is None
    names = {"the first one's shelf": "first", "no shelf": None, "all of it": "full"}
    tools = with_shelf(names[second_has])
    done, made = attempt(tools=tools)
    assert made == expected
    assert done.frames.resumed >= 2 * LENGTH
    assert (done.frames.prepared == 0) == (second_has == "all of it")


def test_segments_without_a_trace_are_of_no_use_where_faces_must_be_followed(attempt, tmp_path):
    shelf = Shelf(tmp_path / "full", 2**30)
    keeping = replace(attempt.tools, engine=KeepingEngine(), shelf=shelf)
    _, expected = attempt(segments=False, tools=keeping)
    assert attempt(kill_at=33, tools=keeping) is None  # all was prepared: nothing is followed
    done, made = attempt(tools=replace(keeping, shelf=None))
    assert (done.frames.resumed, made) == (0, expected)
    done, made = attempt(kill_at=44, tools=keeping)
    assert made == expected


def test_a_damaged_source_is_read_from_its_start(attempt, monkeypatch):
    monkeypatch.setattr(VideoSource, "is_damaged", property(lambda _: True, lambda *_: None), raising=False)
    monkeypatch.setattr(VideoSource, "go_to", lambda *_: pytest.fail("entered in its middle"))
    _, expected = attempt(segments=False)
    assert attempt(kill_at=24) is None
    done, made = attempt()
    assert done.frames.resumed >= LENGTH
    assert made == expected


def test_no_batch_has_frames_of_two_segments():
    engine, tracker = StillEngine(), Blinking()
    preparer = Preparer(engine, tracker, None, Stopwatch())
    with draw(frames(range(25)), [1] * 25, engine, preparer, Stopwatch()) as drawn:
        traces = {each.frame.index: each.trace for each in drawn if each.trace}
    assert engine.prepared == engine.generated == [3, 3, 3, 1, 3, 3, 3, 1, 3, 2]
    assert {index: (each.first, each.end) for index, each in traces.items()} == {9: (0, 10), 19: (10, 20)}
    assert [len(each.tracker["asked"]) for each in traces.values()] == [10, 20]


# One file


def a_segment(trace=True):
    pictures = tuple(Encoded(bytes([n]) * n, n, n - 2, n == 0) for n in range(LENGTH))
    points = np.random.default_rng(0).normal(size=(468, 2)).astype(np.float32)
    faces = (Face(points, 0.1 + 0.2), None, Face(points + 1, 1 / 3))
    tracker = {"absent.frames": np.array([3]), "filter.points": points.astype(np.float64) / 3}
    warnings = (WarningRecord(code="source_truncated", message="it ends"),)
    traced = Trace(5, faces, tracker) if trace else None
    return Segment(20, LENGTH, 7, pictures, traced, (1, 2**32 - 1), warnings)


def test_a_segment_is_read_as_it_was_written_to_the_last_bit(tmp_path):
    chain = {"made_with": "a", "after": "b"}
    write_segment(tmp_path / "s", a_segment(), chain)
    read = read_segment(tmp_path / "s", chain)
    assert replace(read, trace=None) == a_segment(trace=False)
    expected = a_segment().trace
    assert (read.trace.first, read.trace.end) == (5, 8)
    for mine, theirs in zip(read.trace.faces, expected.faces, strict=True):
        assert (mine and (mine.points.tobytes(), mine.score)) == (
            theirs and (theirs.points.tobytes(), theirs.score)
        )
    assert {n: a.tobytes() for n, a in read.trace.tracker.items()} == {
        n: a.tobytes() for n, a in expected.tracker.items()
    }
    write_segment(tmp_path / "again", a_segment(), chain)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "s").read_bytes()
    write_segment(tmp_path / "s", a_segment(trace=False), chain)
    assert read_segment(tmp_path / "s", chain).trace is None


@pytest.mark.parametrize("other", [{"made_with": "x", "after": "b"}, {"made_with": "a", "after": ""}])
def test_a_segment_of_another_chain_is_refused(tmp_path, other):
    write_segment(tmp_path / "s", a_segment(), {"made_with": "a", "after": "b"})
    with pytest.raises(SegmentDamaged, match="something else"):
        read_segment(tmp_path / "s", other)


def test_versions_are_of_what_is_installed_whether_it_was_used_or_not():
    assert set(installed(["numpy", "av", "no-such-package"])) == {"numpy", "av"}
