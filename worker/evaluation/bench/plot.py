"""The figures as a drawing: frames a second by batch size, and of whole jobs beside them. SVG, by hand."""

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise

from worker.evaluation.bench.report import Core, EndToEnd, Report

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 56, 52
"""Margins around the axes, in the drawing's units."""
MOST_TICKS = 6
LINE = 16
"""Of text, from one to the next."""
INK, CORE, COLOURS = "#333", "#2563eb", {"new": "#d97706", "prepared": "#059669"}
STYLE = "text{font:12px sans-serif;fill:#333}.title{font-size:14px;font-weight:bold}.axis{stroke:#999}.grid{stroke:#e5e5e5}"


def plot(report: Report) -> str:
    """The drawing: a line for the networks alone, lying as jobs have them, a level line for whole jobs of each kind of source."""
    core = report.shipped_core
    scale = Scale(core, report.end_to_end)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *_titles(report),
        *_axes(scale, core),
        *_core(scale, core),
        *(_level(scale, each) for each in report.end_to_end),
        *_names(scale, report),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


class Scale:
    """Where figures lie in the drawing: batch sizes on a logarithmic axis, frames a second on a linear one."""

    def __init__(self, core: Sequence[Core], end_to_end: Sequence[EndToEnd]) -> None:
        sizes = [each.batch_size for each in core] or [1]
        self._first, self._last = math.log2(min(sizes)), math.log2(max(sizes))
        highest = max([*(each.fps for each in core), *(each.fps for each in end_to_end)], default=1.0)
        self.ticks = ticks(highest)

    def x(self, batch_size: int) -> float:
        """Of a batch size; the middle where there is only one."""
        span = self._last - self._first
        along = (math.log2(batch_size) - self._first) / span if span else 0.5
        return LEFT + along * (WIDTH - LEFT - RIGHT)

    def y(self, fps: float) -> float:
        """Of frames a second."""
        return HEIGHT - BOTTOM - fps / self.ticks[-1] * (HEIGHT - TOP - BOTTOM)


def ticks(highest: float) -> list[float]:
    """Round numbers from 0 to the first at or above the highest value."""
    rough = max(highest, 1e-9) / (MOST_TICKS - 1)
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(each * magnitude for each in (1, 2, 2.5, 5, 10) if each * magnitude >= rough * (1 - 1e-9))
    count = math.ceil(highest / step - 1e-9)
    return [float(f"{index * step:.6g}") for index in range(max(count, 1) + 1)]


def _titles(report: Report) -> list[str]:
    machine, clip = report.machine, report.clip
    return [
        _text(LEFT, 22, f"{report.engine} on {machine.device}", "start", "title"),
        _text(LEFT, 40, f"{machine.dtype}, {report.weights} weights, {clip.width}x{clip.height}", "start"),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, "batch size", "middle"),
        f'<text transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
        "frames a second</text>",
    ]


def _axes(scale: Scale, core: Sequence[Core]) -> list[str]:
    lines = []
    for fps in scale.ticks:
        lines.append(_line(LEFT, scale.y(fps), WIDTH - RIGHT, scale.y(fps), "axis" if fps == 0 else "grid"))
        lines.append(_text(LEFT - 8, scale.y(fps) + 4, f"{fps:g}", "end"))
    lines += [
        _text(scale.x(each.batch_size), HEIGHT - BOTTOM + 18, str(each.batch_size), "middle") for each in core
    ]
    return lines


def _core(scale: Scale, core: Sequence[Core]) -> list[str]:
    points = [(scale.x(each.batch_size), scale.y(each.fps)) for each in core]
    parts = [
        f'<line x1="{a:.1f}" y1="{b:.1f}" x2="{c:.1f}" y2="{d:.1f}" stroke="{CORE}" stroke-width="2"/>'
        for (a, b), (c, d) in pairwise(points)
    ]
    for (x, y), each in zip(points, core, strict=True):
        shares = "" if each.share_of_matmul is None else f" ({each.share_of_matmul:.0%})"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{CORE}"/>')
        parts.append(_text(x, y - 9, f"{each.fps:.3g}{shares}", "middle"))
    return parts


def _level(scale: Scale, jobs: EndToEnd) -> str:
    y, colour = scale.y(jobs.fps), COLOURS[jobs.source]
    return (
        f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="{colour}" stroke-width="2" '
        'stroke-dasharray="6 4"/>'
    )


def _names(scale: Scale, report: Report) -> list[str]:
    """What each line is, at its right end."""
    named = [(scale.y(each.fps), f"jobs, {each.source}: {each.fps:.3g}") for each in report.end_to_end]
    if report.shipped_core:
        named.append((scale.y(report.shipped_core[-1].fps), "networks alone"))
    named.sort()
    heights = apart([y for y, _ in named])
    return [
        _text(WIDTH - RIGHT + 10, y + 4, name, "start") for y, (_, name) in zip(heights, named, strict=True)
    ]


def apart(heights: Sequence[float]) -> list[float]:
    """The same heights, in their order, moved so that a line of text fits between neighbours."""
    moved: list[float] = []
    for height in heights:
        moved.append(max(height, moved[-1] + LINE) if moved else height)
    excess = max(0.0, moved[-1] - (HEIGHT - BOTTOM)) if moved else 0.0
    return [each - excess for each in moved]


def _line(x1: float, y1: float, x2: float, y2: float, name: str) -> str:
    return f'<line class="{name}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str, name: str = "") -> str:
    kind = f' class="{name}"' if name else ""
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
