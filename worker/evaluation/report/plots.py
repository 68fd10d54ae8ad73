"""Curves as SVG: over time, and over the shift of the audio."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from worker.media.clock import FPS

WIDTH, HEIGHT = 1000, 190
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 12, 34
MOST_POINTS = 2000
COLOURS = ("#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626")


@dataclass(frozen=True)
class Line:
    """A curve; None where there is nothing to draw."""

    name: str
    values: Sequence[float | None]
    colour: str
    is_own_scale: bool = False
    """Whether it is drawn over its own range, for its shape alone."""


def over_time(lines: Sequence[Line], unit: str) -> str:
    """Curves of one value a frame. The page moves the line of class `now` with the players."""
    frames = max((len(each.values) for each in lines), default=0)
    seconds = frames / FPS
    ticks = [(second, f"{second:g} s") for second in _steps(seconds)]
    return _drawing(lines, (0.0, max(seconds, 1 / FPS)), ticks, unit, is_time=True)


def over_shift(lines: Sequence[Line], shifts: Sequence[int], unit: str) -> str:
    """Curves of one value a shift of the audio, in frames."""
    ticks = [(float(each), f"{each:+d}" if each else "0") for each in shifts if each % 5 == 0]
    return _drawing(lines, (float(shifts[0]), float(shifts[-1])), ticks, unit, is_time=False)


def _drawing(
    lines: Sequence[Line],
    span: tuple[float, float],
    ticks: Sequence[tuple[float, str]],
    unit: str,
    is_time: bool,
) -> str:
    shared = [value for each in lines if not each.is_own_scale for value in each.values if value is not None]
    low, high = (min(shared), max(shared)) if shared else (0.0, 1.0)
    across = WIDTH - LEFT - RIGHT

    def x(value: float) -> float:
        return LEFT + (value - span[0]) / (span[1] - span[0]) * across

    parts = [
        f'<svg class="{"time" if is_time else "shift"}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'data-left="{LEFT}" data-across="{across}" data-span="{span[1] - span[0]:.3f}" role="img" '
        f'aria-label="{escape(", ".join(each.name for each in lines))}">'
    ]
    for value, name in ticks:
        parts.append(
            f'<line class="grid" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        )
        parts.append(
            f'<text x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{escape(name)}</text>'
        )
    for value, at in ((high, TOP + 10), (low, HEIGHT - BOTTOM)):
        parts.append(f'<text x="{LEFT - 6}" y="{at}" text-anchor="end">{value:.3g}</text>')
    parts.append(f'<text class="unit" x="{LEFT}" y="{HEIGHT - 4}">{escape(unit)}</text>')
    parts += [_path(each, span, low, high) for each in lines]
    if is_time:
        parts.append(f'<line class="now" x1="{LEFT}" x2="{LEFT}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    return "".join([*parts, "</svg>", _legend(lines)])


def _path(line: Line, span: tuple[float, float], low: float, high: float) -> str:
    """One curve, broken where there is nothing to draw."""
    there = [value for value in line.values if value is not None]
    if not there:
        return ""
    if line.is_own_scale:
        low, high = min(there), max(there)
    reach = (high - low) or 1.0
    n, step = len(line.values), max(1, math.ceil(len(line.values) / MOST_POINTS))
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    points, is_begun = [], False
    for index in range(0, n, step):
        value = line.values[index]
        if value is None:
            is_begun = False
            continue
        at = LEFT + across * index / max(1, n - 1)
        points.append(f"{'L' if is_begun else 'M'}{at:.1f} {TOP + down * (high - value) / reach:.1f}")
        is_begun = True
    return f'<path d="{"".join(points)}" stroke="{line.colour}"/>'


def _legend(lines: Sequence[Line]) -> str:
    names = "".join(
        f'<span><i style="background:{each.colour}"></i>{escape(each.name)}</span>' for each in lines
    )
    return f'<p class="legend">{names}</p>'


def _steps(seconds: float) -> list[float]:
    """Round times, ten at most."""
    step = next((each for each in (1, 2, 5, 10, 30, 60, 120, 300, 600) if seconds / each <= 10), 1800)
    return [float(each) for each in range(0, math.floor(seconds) + 1, step)]
