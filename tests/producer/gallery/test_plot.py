import re

import pytest

from contract.manifest import Curves
from producer.gallery.plot import HEADROOM, HEIGHT, MOST_POINTS, WIDTH, clock, plot, ticks


def paths(drawing: str, kind: str) -> list[str]:
    return re.findall(rf'<path class="{kind}" d="([^"]*)"', drawing)


def flat(frames: int) -> Curves:
    return Curves(fps=25, aperture=(0.05,) * frames, loudness=(-20.0,) * frames)


def test_each_frame_is_a_point_from_the_bottom_to_just_under_the_top() -> None:
    curves = Curves(fps=25, aperture=(0.0, 0.04, 0.08, 0.04), loudness=(-50.0, -30.0, -10.0, -50.0))
    drawing = plot(curves)
    middle = (HEIGHT + HEADROOM) / 2
    assert paths(drawing, "aperture") == [f"M125.0 100.0h0L375.0 {middle:.1f}L625.0 6.0L875.0 {middle:.1f}"]
    assert paths(drawing, "loudness") == [
        f"M125.0 100L125.0 100.0L375.0 {middle:.1f}L625.0 6.0L875.0 100.0V100Z"
    ]


def test_frames_without_a_face_break_the_line_and_are_shaded() -> None:
    curves = Curves(fps=25, aperture=(0.1, None, None, 0.1), loudness=(-10.0,) * 4)
    drawing = plot(curves)
    assert paths(drawing, "aperture") == ["M125.0 6.0h0", "M875.0 6.0h0"]
    assert re.findall(r'class="gap" x="([\d.]+)" width="([\d.]+)"', drawing) == [("250.0", "500.0")]


def test_a_long_video_is_averaged_to_a_drawing_of_bounded_size() -> None:
    (line,) = paths(plot(flat(90_000)), "aperture")
    assert line.count("L") <= MOST_POINTS
    assert line.endswith(f"L{WIDTH - WIDTH / MOST_POINTS / 2:.1f} 6.0")


@pytest.mark.parametrize("frames", [0, 1])
def test_curves_of_hardly_any_frames_are_drawn(frames: int) -> None:
    assert plot(flat(frames)).endswith("</svg>")


@pytest.mark.parametrize(
    ("seconds", "marks"),
    [
        (0.1, ["0:00"]),
        (1.2, ["0:00", "0:00.5", "0:01"]),
        (5.6, ["0:00", "0:01", "0:02", "0:03", "0:04", "0:05"]),
        (90.0, ["0:00", "0:10", "0:20", "0:30", "0:40", "0:50", "1:00", "1:10", "1:20", "1:30"]),
    ],
)
def test_the_time_axis_has_a_few_round_marks(seconds: float, marks: list[str]) -> None:
    assert [text for _, text in ticks(seconds)] == marks


def test_marks_lie_where_their_time_is() -> None:
    assert [at for at, _ in ticks(4.0)] == [0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (2.5, "0:02.5"), (59.96, "1:00"), (65, "1:05"), (3600, "60:00")]
)
def test_a_clock_reads_minutes_seconds_and_tenths(seconds: float, text: str) -> None:
    assert clock(seconds) == text
