"""Draws what the panels of a Grafana dashboard would show, as one page of SVG: places, titles, units and legends are the dashboard's.

It is no Grafana: it knows rows, stats and lines, and the few units that our dashboard has.
"""

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

COLUMN, LINE, GAP = 60, 36, 8
"""Pixels of the grid, and between panels."""
COLOURS = (
    "#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0", "#37872d", "#56d9d0",
    "#447ebc", "#c15c17", "#890f02", "#0a437c", "#6d1f62", "#e0b400",
)  # fmt: skip
NAMED = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c"}
STYLE = """
body { margin: 0; background: #111217; color: #ccccdc; font: 12px sans-serif; }
#grid { position: relative; margin: 8px; }
.panel { position: absolute; background: #181b1f; border: 1px solid #2c3235; border-radius: 2px; overflow: hidden; }
.panel h2 { font-size: 13px; font-weight: 500; margin: 6px 8px 0; white-space: nowrap; }
.row { position: absolute; font-size: 14px; font-weight: 500; padding-top: 8px; }
.stat { font-size: 38px; font-weight: 500; text-align: center; margin-top: 12px; }
.none { color: #8e8e99; text-align: center; margin-top: 60px; }
.legend { margin: 0 8px; line-height: 15px; font-size: 11px; height: 30px; overflow: hidden; }
.legend i { display: inline-block; width: 10px; height: 3px; margin: 0 4px 3px 8px; }
#caption { margin: 10px 12px; font-size: 13px; color: #9fa7b3; }
text { fill: #9fa7b3; font-size: 10px; }
"""


@dataclass(frozen=True)
class Line:
    """One series: its name, and its points as (seconds since 1970, value)."""

    name: str
    points: Sequence[tuple[float, float]]


Ask = Callable[[str, str], list[Line]]
"""The lines of a query, named by its legend."""


@dataclass(frozen=True)
class Span:
    """The time that the page shows, in seconds since 1970."""

    began: float
    ended: float


def page(dashboard: Mapping[str, Any], ask: Ask, span: Span, caption: str) -> str:
    """The dashboard as a page."""
    panels = [_panel(each, ask, span) for each in dashboard["panels"]]
    bottom = max(each["gridPos"]["y"] + each["gridPos"]["h"] for each in dashboard["panels"]) * LINE
    return (
        f"<!doctype html><meta charset=utf-8><title>{html.escape(dashboard['title'])}</title><style>{STYLE}</style>"
        f"<p id=caption>{html.escape(caption)}</p><div id=grid style='width:{24 * COLUMN}px;height:{bottom}px'>"
        f"{''.join(panels)}</div>"
    )


def _panel(panel: Mapping[str, Any], ask: Ask, span: Span) -> str:
    place = panel["gridPos"]
    width, height = place["w"] * COLUMN - GAP, place["h"] * LINE - GAP
    box = f"left:{place['x'] * COLUMN}px;top:{place['y'] * LINE}px;width:{width}px;height:{height}px"
    title = html.escape(panel["title"])
    if panel["type"] == "row":
        return f"<div class=row style='{box}'>⌄ {title}</div>"
    lines = [line for each in panel["targets"] for line in ask(each["expr"], each["legendFormat"])]
    draw = _stat if panel["type"] == "stat" else _chart
    return f"<div class=panel style='{box}'><h2>{title}</h2>{draw(panel, lines, span, width, height)}</div>"


def _stat(panel: Mapping[str, Any], lines: Sequence[Line], span: Span, width: int, height: int) -> str:
    look = panel["fieldConfig"]["defaults"]
    if not lines or not lines[0].points:
        return f"<div class=stat style='color:#8e8e99'>{look['noValue']}</div>"
    value = lines[0].points[-1][1]
    steps = [each for each in look["thresholds"]["steps"] if each["value"] is None or value >= each["value"]]
    colour = NAMED[steps[-1]["color"]]
    shown = shown_as(value, look["unit"], look.get("decimals"))
    return f"<div class=stat style='color:{colour}'>{shown}</div>"


def _chart(panel: Mapping[str, Any], lines: Sequence[Line], span: Span, width: int, height: int) -> str:
    look = panel["fieldConfig"]["defaults"]
    lines = [line for line in lines if line.points]
    if not lines:
        return "<div class=none>No data</div>"
    custom = look["custom"]
    stacked = custom["stacking"]["mode"] == "normal"
    drawn = _stacked(lines) if stacked else [(line, [0.0] * len(line.points)) for line in lines]
    ends = [value + low for line, below in drawn for (_, value), low in zip(line.points, below, strict=True)]
    frame = _Frame(width, height - 66, span, look.get("max") or _round_up(max(ends), look["unit"]))
    shapes = []
    for number, (line, below) in enumerate(drawn):
        colour = COLOURS[number % len(COLOURS)]
        if custom["drawStyle"] == "bars":
            shapes.append(frame.bars(line.points, below, colour))
        else:
            shapes.append(frame.path(line.points, below, colour, stacked))
    legend = "".join(
        f"<i style='background:{COLOURS[number % len(COLOURS)]}'></i>{html.escape(line.name)}"
        for number, (line, _) in enumerate(drawn)
    )
    body = frame.grid(look["unit"]) + "".join(reversed(shapes))  # those at zero lie under the others
    return f"<svg width={width} height={height - 60}>{body}</svg><div class=legend>{legend}</div>"


def _stacked(lines: Sequence[Line]) -> list[tuple[Line, list[float]]]:
    """Each line with what lies below it at each of its points."""
    sums: dict[float, float] = {}
    found = []
    for line in lines:
        below = [sums.get(at, 0.0) for at, _ in line.points]
        sums |= {at: low + value for (at, value), low in zip(line.points, below, strict=True)}
        found.append((line, below))
    return found


@dataclass(frozen=True)
class _Frame:
    """Where a chart's points lie: a width and a height in pixels, a time, and the value at the top."""

    width: int
    height: int
    span: Span
    top: float
    left: int = 52

    def x(self, at: float) -> float:
        share = (at - self.span.began) / (self.span.ended - self.span.began)
        return self.left + share * (self.width - self.left - 12)

    def y(self, value: float) -> float:
        return 8 + (self.height - 22) * (1 - min(value / self.top, 1))

    def path(
        self, points: Sequence[tuple[float, float]], below: Sequence[float], colour: str, filled: bool
    ) -> str:
        """One line; where points are missing it is broken."""
        step = min((b[0] - a[0] for a, b in pairwise(points)), default=1.0)
        words, last = [], None
        for (at, value), low in zip(points, below, strict=True):
            move = "M" if last is None or at - last > 1.5 * step else "L"
            words.append(f"{move}{self.x(at):.1f},{self.y(value + low):.1f}")
            last = at
        if len(points) == 1:
            words.append("h3")
        line = f"<path d='{''.join(words)}' fill=none stroke='{colour}' stroke-width=1.5 />"
        if not filled:
            return line
        floor = "".join(
            f"L{self.x(at):.1f},{self.y(low):.1f}"
            for (at, _), low in reversed(list(zip(points, below, strict=True)))
        )
        area = "".join(words).replace("M", "L")
        return f"<path d='M{area[1:]}{floor}Z' fill='{colour}' opacity=.25 />{line}"

    def bars(self, points: Sequence[tuple[float, float]], below: Sequence[float], colour: str) -> str:
        """A bar for each point."""
        return "".join(
            f"<rect x={self.x(at) - 3:.1f} width=6 y={self.y(value + low):.1f} "
            f"height={self.y(low) - self.y(value + low):.1f} fill='{colour}' />"
            for (at, value), low in zip(points, below, strict=True)
        )

    def grid(self, unit: str) -> str:
        """Lines at quarters of the height and at fifths of the time, with what they stand for."""
        levels = [self.top * quarter / 4 for quarter in range(5)]
        across = [
            f"<line x1={self.left} x2={self.width - 12} y1={self.y(level)} y2={self.y(level)} stroke='#24282d' />"
            f"<text x={self.left - 6} y={self.y(level) + 3} text-anchor=end>{shown_as(level, unit)}</text>"
            for level in levels
        ]
        length = self.span.ended - self.span.began
        down = [
            f"<text x={self.x(self.span.began + length * fifth / 5)} y={self.height + 2} text-anchor=middle>"
            f"{int(length * fifth / 5) // 60}:{int(length * fifth / 5) % 60:02d}</text>"
            for fifth in range(5)
        ]
        return "".join(across + down)


def _round_up(value: float, unit: str) -> float:
    """The next round number, for the top of a chart."""
    if unit == "bytes":
        return _round_up(value / 2**20, "") * 2**20
    if not value > 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(value))
    return next(step * size for step in (1, 2, 4, 5, 8, 10) if step * size >= value * 0.999)


def shown_as(value: float, unit: str, decimals: int | None = None) -> str:
    """A value in its unit, short."""
    if unit == "percentunit":
        return f"{100 * value:.{decimals or 0}f}%"
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    if unit == "s" and value >= 60:
        return f"{value / 60:.1f} min"
    number = f"{value:.{decimals}f}" if decimals is not None else f"{value:.3g}"
    return number + {"s": " s", "reqps": " /s"}.get(unit, "")
