"""Which source frame stands at which output position, through the decode child."""

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from contract.errors import NoVideo
from worker.media.source import VideoSource, probe


def test_a_clip_of_30_fps_becomes_25_by_the_fraction_rule(clips, limits, numbers):
    path = clips.video("a.mp4", 60, 30)
    with VideoSource(path, limits) as source:
        frames = list(source.frames(50, "cut"))
    assert numbers(frames) == [max(i for i in range(60) if (i * 25 + 15) // 30 <= k) for k in range(50)]
    assert [frame.index for frame in frames] == [frame.source_index for frame in frames] == list(range(50))


MODES = {
    "bounce": [*range(10), *range(9, -1, -1), *range(5)],
    "loop": [*range(10), *range(10), *range(5)],
    "freeze": [*range(10), *[9] * 15],
    "silence": [*range(10), *range(9, -1, -1), *range(5)],
    "cut": [*range(10)],
}


@pytest.mark.parametrize("mode", MODES)
def test_a_video_shorter_than_the_audio_goes_on_as_the_sync_mode_says(clips, limits, numbers, mode):
    path = clips.video("a.mp4", 10)
    with VideoSource(path, limits) as source:
        length = source.length(25, mode)
        frames = list(source.frames(length, mode))
        assert source.source_frames == 10
    assert numbers(frames) == [frame.source_index for frame in frames] == MODES[mode]


@pytest.mark.parametrize(
    ("mode", "length"), [("bounce", 4), ("loop", 4), ("freeze", 4), ("cut", 4), ("silence", 10)]
)
def test_a_video_longer_than_the_audio_ends_with_it_except_for_silence(clips, limits, mode, length):
    with VideoSource(clips.video("a.mp4", 10), limits) as source:
        assert source.length(4, mode) == length
        assert [frame.source_index for frame in source.frames(length, mode)] == list(range(length))


def test_start_and_end_select_a_part_that_counts_from_0(clips, limits, numbers):
    path = clips.video("a.mp4", 100, options={"g": "12"})
    with VideoSource(path, limits, start=1.6, end=2.0) as source:
        frames = list(source.frames(15, "bounce"))
    assert numbers(frames) == [*range(40, 50), *range(49, 44, -1)]
    assert [frame.source_index for frame in frames] == [*range(10), *range(9, 4, -1)]


def test_a_part_behind_the_end_of_the_video_is_refused(clips, limits):
    path = clips.video("a.mp4", 10)
    with VideoSource(path, limits, start=3.0) as source, pytest.raises(NoVideo, match="ends before the part"):
        next(source.frames(5, "bounce"))


CONTAINERS = ["a.mp4", "a.mkv", "a.ts", "a.mov"]


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_bounces_frame_by_frame(clips, limits, numbers, name):
    path = clips.video(name, 30, options={"g": "10", "bf": "2"})
    with VideoSource(path, limits) as source:
        assert numbers(source.frames(60, "bounce")) == [*range(30), *range(29, -1, -1)]


def test_b_frames_of_an_avi_come_in_order(clips, limits, numbers):
    path = clips.video("a.avi", 30, options={"bf": "2", "g": "30"})
    with VideoSource(path, limits) as source:
        shown = numbers(source.frames(source.length(50, "cut"), "cut"))
    assert len(shown) >= 28 and source.warnings == ()
    assert shown == sorted(shown)
    assert all(abs(number - k) <= 1 for k, number in enumerate(shown))


def test_a_video_that_starts_late_starts_with_its_first_frame(clips, limits, numbers):
    path = clips.video("a.mp4", 20, times=[0.333 + n / 25 for n in range(20)])
    with VideoSource(path, limits) as source:
        assert numbers(source.frames(20, "cut")) == list(range(20))


def test_a_variable_frame_rate_holds_each_frame_until_the_next(clips, limits, numbers):
    path = clips.video("a.mkv", 4, times=[0, 0.04, 0.2, 0.24])
    with VideoSource(path, limits) as source:
        assert numbers(source.frames(7, "cut")) == [0, 1, 1, 1, 1, 2, 3]


@pytest.mark.parametrize("mode", ["bounce", "cut", "silence"])
def test_a_part_after_the_end_is_no_video_in_every_mode(clips, limits, mode):
    with (
        VideoSource(clips.video("a.mp4", 20), limits, start=5.0) as source,
        pytest.raises(NoVideo, match="ends before the part"),
    ):
        list(source.frames(source.length(10, mode), mode))


def test_an_edit_list_decides_where_the_video_starts(clips, limits, numbers):
    path = clips.video("a.mp4", 30, options={"bf": "0", "g": "30"})
    clips.edit(path, media_time=10 * 512)  # libavformat gives 25 fps 12800 units a second
    with VideoSource(path, limits) as source:
        assert numbers(source.frames(20, "cut")) == list(range(10, 30))


def test_the_planes_are_the_callers_own(clips, limits, numbers):
    with VideoSource(clips.video("a.mp4", 3), limits) as source:
        frames = []
        for frame in source.frames(6, "freeze"):
            frames.append(frame)
            frame.y[60:] = 0
        assert numbers(frames) == [0, 1, 2, 2, 2, 2]
        assert all(
            frame.y.flags.writeable and not np.shares_memory(frame.y, frames[0].y) for frame in frames[1:]
        )


def test_probe_tells_what_a_file_holds(clips, limits):
    facts = probe(clips.video("a.mp4", 30, Fraction(30000, 1001), audio_seconds=1), limits)
    assert (facts.container, facts.video_codec, facts.width, facts.height) == ("mp4", "h264", 160, 120)
    assert (facts.fps, facts.audio_codec, facts.sample_rate, facts.channels) == (
        "30000/1001",
        "aac",
        48_000,
        2,
    )
    assert facts.duration_seconds == pytest.approx(1.0, abs=0.01)


def test_probe_tells_of_audio_alone(clips, limits):
    facts = probe(clips.audio("a.wav", clips.tone(1.5, 8000), 8000, "pcm_s16le"), limits)
    assert (facts.container, facts.video_codec, facts.audio_codec) == ("wav", None, "pcm_s16le")
    assert (facts.sample_rate, facts.channels, facts.duration_seconds) == (8000, 1, 1.5)


def test_leaving_the_context_ends_the_child(clips, limits):
    with VideoSource(clips.video("a.mp4", 200), limits) as source:
        next(source.frames(5000, "bounce"))
        pid = source._decoder._process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_parent_that_is_killed_takes_the_child_along(clips):
    path = clips.video("a.mp4", 50)
    program = (
        "import sys, time; from pathlib import Path\n"
        "from worker.media.limits import Limits; from worker.media.source import VideoSource\n"
        "source = VideoSource(Path(sys.argv[1]), Limits())\n"
        "print(source._decoder._process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as parent:
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    assert gone(child, within_seconds=5)


def gone(pid: int, within_seconds: float) -> bool:
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        try:
            if "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False
