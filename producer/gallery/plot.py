"""Lip aperture against audio loudness over time, as an inline SVG that stretches to any width."""

from collections.abc import Sequence
from itertools import groupby

from contract.manifest import Curves

WIDTH, HEIGHT = 1000, 100
"""Of the drawing's own units; the page stretches it."""
HEADROOM = 6
"""Above the highest value of a curve."""
MOST_POINTS = 1200
"""Of one curve. Longer curves are averaged down."""
TICK_SECONDS = (0.5, 1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600)
MOST_TICKS = 10

Run = list[tuple[float, float]]
"""Points (x, y) of the drawing without a gap between them."""


def plot(curves: Curves) -> str:
    """The drawing, coloured by the page's style: `.loudness` an area, `.aperture` a line, `.gap` where no face was."""
    loudness, aperture = _averaged(curves.loudness), _averaged(curves.aperture)
    quietest = min((each for each in loudness if each is not None), default=0.0)
    runs = _runs([None if each is None else each - quietest for each in loudness])
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">',
        *(f'<path class="loudness" d="{_area(run)}"/>' for run in runs),
        *_gaps(aperture),
        *(f'<path class="aperture" d="{_line(run)}"/>' for run in _runs(aperture)),
        "</svg>",
    ]
    return "".join(parts)


def ticks(seconds: float) -> list[tuple[float, str]]:
    """Marks of a time axis of that length: how far along (0 to 1) and what they say."""
    step = next((each for each in TICK_SECONDS if seconds / each <= MOST_TICKS), TICK_SECONDS[-1])
    return [(index * step / seconds, clock(index * step)) for index in range(int(seconds / step) + 1)]


def clock(seconds: float) -> str:
    """Minutes and seconds, with tenths where there are any: 1:05, 0:02.5."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    return f"{minutes}:{rest // 10:02d}" + (f".{rest % 10}" if rest % 10 else "")


def _averaged(values: Sequence[float | None]) -> list[float | None]:
    """At most MOST_POINTS means of neighbours; None only where all of them are."""
    stride = -(-len(values) // MOST_POINTS) or 1
    return [_mean(values[start : start + stride]) for start in range(0, len(values), stride)]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return sum(known) / len(known) if known else None


def _runs(values: Sequence[float | None]) -> list[Run]:
    """The curve's points, broken at None: from 0 at the bottom to the highest value just under the top."""
    highest = max((each for each in values if each is not None), default=0.0) or 1.0
    step = WIDTH / max(len(values), 1)
    points = [
        None if each is None else ((index + 0.5) * step, HEIGHT - (HEIGHT - HEADROOM) * each / highest)
        for index, each in enumerate(values)
    ]
    groups = groupby(points, key=lambda point: point is None)
    return [[point for point in group if point is not None] for missing, group in groups if not missing]


def _line(run: Run) -> str:
    # A zero-length step makes the round cap of a lone point visible.
    start = f"M{run[0][0]:.1f} {run[0][1]:.1f}h0"
    return start + "".join(f"L{x:.1f} {y:.1f}" for x, y in run[1:])


def _area(run: Run) -> str:
    return f"M{run[0][0]:.1f} {HEIGHT}" + "".join(f"L{x:.1f} {y:.1f}" for x, y in run) + f"V{HEIGHT}Z"


def _gaps(aperture: Sequence[float | None]) -> list[str]:
    step = WIDTH / max(len(aperture), 1)
    rects, start = [], 0
    for missing, group in groupby(aperture, key=lambda each: each is None):
        length = len(list(group))
        if missing:
            rects.append(
                f'<rect class="gap" x="{start * step:.1f}" width="{length * step:.1f}" height="{HEIGHT}"/>'
            )
        start += length
    return rects
