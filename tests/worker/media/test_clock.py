"""The 25 fps grid against FFmpeg's own filter, index for index."""

from dataclasses import dataclass
from fractions import Fraction

import av
import pytest

from worker.media.clock import BestEffort, frames_of, on_grid


@dataclass(frozen=True)
class Tick:
    number: int
    ts: Fraction
    duration: Fraction


def steady(count: int, rate: Fraction | int, start: Fraction | int = 0) -> list[Tick]:
    return [Tick(n, start + n / Fraction(rate), 1 / Fraction(rate)) for n in range(count)]


def jittered() -> list[Tick]:
    """A phone: 1/90000 s stamps, a few ms of jitter, half the rate after one second."""
    times = [Fraction(n * 3003 + (n * 7919) % 400, 90_000) for n in range(30)]
    times += [Fraction(91_000 + n * 6006 + (n * 104_729) % 700, 90_000) for n in range(20)]
    ends = [*times[1:], times[-1] + Fraction(6006, 90_000)]
    return [Tick(n, ts, end - ts) for n, (ts, end) in enumerate(zip(times, ends, strict=True))]


SOURCES = {
    "24": steady(48, 24),
    "23.976": steady(48, Fraction(24000, 1001)),
    "25": steady(50, 25),
    "29.97": steady(60, Fraction(30000, 1001)),
    "30": steady(60, 30),
    "50": steady(101, 50),
    "60": steady(119, 60),
    "15": steady(31, 15),
    "one frame": steady(1, 25),
    "start at 1.4 s": steady(60, 30, Fraction(7, 5)),
    "phone": jittered(),
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_grid_position_shows_the_frame_that_ffmpegs_filter_shows(name):
    ticks = SOURCES[name]
    shown = [tick.number for _, tick in on_grid(ticks, ticks[0].ts)]
    assert shown == by_ffmpeg(ticks)


def by_ffmpeg(ticks: list[Tick]) -> list[int]:
    """The numbers that `setpts=PTS-STARTPTS,fps=25` passes on; a frame's number is its grey level."""
    unit = Fraction(1, 90_000 * 1001)
    graph = av.filter.Graph()
    source = f"video_size=16x16:pix_fmt=gray:time_base={unit}:frame_rate=25"
    graph.link_nodes(
        graph.add("buffer", source),
        graph.add("setpts", "PTS-STARTPTS"),
        graph.add("fps", "25"),
        graph.add("buffersink"),
    ).configure()
    for tick in ticks:
        frame = av.VideoFrame(16, 16, "gray")
        frame.planes[0].update(bytes([tick.number]) * frame.planes[0].buffer_size)
        frame.pts, frame.time_base = int(tick.ts / unit), unit
        frame.duration = int(tick.duration / unit)
        graph.push(frame)
    graph.push(None)
    shown = []
    while True:
        try:
            shown.append(bytes(graph.vpull().planes[0])[0])
        except (av.EOFError, av.BlockingIOError):
            return shown


def test_a_frame_shorter_than_half_an_output_frame_is_shown_all_the_same():
    assert [k for k, _ in on_grid(steady(1, 60), Fraction(0))] == [0]


@pytest.mark.parametrize(
    ("seconds", "frames"),
    [
        (Fraction(2), 50),
        (Fraction(1, 25), 1),
        (Fraction(7313, 1000), 183),
        (Fraction(2) + Fraction(1, 10**8), 50),
    ],
)
def test_audio_asks_for_its_length_rounded_up_to_whole_frames(seconds, frames):
    assert frames_of(seconds) == frames


def test_stamps_that_run_backward_give_way_to_decoding_times():
    """What PyAV reports for B-frames of an AVI: presentation times that swap, decoding times that rise."""
    guess = BestEffort()
    pts = [1, 3, 2, 5, 4, 7, 6, 9, 8]
    guessed = [guess.guess(stamp, index) for index, stamp in enumerate(pts)]
    assert guessed[2:] == list(range(2, len(pts)))


def test_stamps_in_order_are_kept_and_missing_ones_replaced():
    guess = BestEffort()
    assert [guess.guess(4, 2), guess.guess(None, 3), guess.guess(None, None)] == [4, 3, None]
