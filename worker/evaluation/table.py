"""Figures for a terminal."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from contract.evaluation import INCONCLUSIVE, Compared, Comparison, Evaluation
from contract.figures import Figure

SHOWN_CONTROLS = ("real", "do_nothing", "floor", "shuffled")
ARROWS = {"higher": "↑", "lower": "↓", "nearer 1": "→1", "nearer 0": "→0"}
"""Where a figure is better."""


def table_of_evaluation(evaluation: Evaluation) -> RenderableType:
    """The verdict, what was measured, and what could not be."""
    there = {name for each in evaluation.metrics.values() for name in each.controls}
    controls = [name for name in SHOWN_CONTROLS if name in there]
    table = Table(box=None, pad_edge=False)
    for name in ("", "value", "", "95 %", *(each.replace("_", " ") for each in controls)):
        table.add_column(name, no_wrap=True)
    for figure in evaluation.metrics.values():
        if figure.status == "ok":
            table.add_row(
                figure.title,
                number(figure.value),
                ARROWS.get(figure.better, ""),
                _interval(figure.ci95),
                *(number(figure.controls.get(name)) for name in controls),
            )
    return Group(
        Text(f"{evaluation.generated.uri}: {evaluation.sync.words}", style="bold"),
        Text(
            f"{evaluation.task}, {evaluation.frames} frames; 95 %: within this clip. ↑ ↓ →: where it is better",
            style="dim",
        ),
        table,
        *_not_measured(evaluation.metrics.values()),
        *(Text(f"warning [{each.code}]: {each.message}", style="yellow") for each in evaluation.warnings),
    )


def table_of_comparison(comparison: Comparison) -> RenderableType:
    """Every figure that both have, and who is better by it."""
    names = comparison.outputs
    heads = map(Text, ("", *names, "improvement", "winner", ""))  # names are no markup
    table = Table(*map(Column, heads), box=None, pad_edge=False)
    for compared in comparison.comparison.values():
        if any(value is not None for value in compared.values.values()):
            style = "" if compared.winner == INCONCLUSIVE else "green"
            table.add_row(
                compared.title,
                *(number(compared.values[name]) for name in names),
                "" if compared.improvement_pct is None else f"{compared.improvement_pct:+.1f} %",
                Text(compared.winner, style=style),
                Text(_reason(compared), style="dim"),
            )
    clips = len(comparison.clips)
    return Group(
        Text(
            f"{comparison.task}, {clips} clip{'s' if clips > 1 else ''}, {comparison.scope}; % of {comparison.baseline}",
            style="bold",
        ),
        table,
        *(
            Text(f"{clip.id} {name}: {each.sync.words}")
            for clip in comparison.clips
            for name, each in clip.evaluations.items()
        ),
        *_not_measured(next(iter(comparison.clips[0].evaluations.values())).metrics.values()),
    )


def number(value: float | None) -> str:
    """As short as it can be read."""
    return "" if value is None else f"{value:.4g}"


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.3g} to {interval[1]:.3g}"


def _reason(compared: Compared) -> str:
    """Why there is no winner, by the first pair that says so."""
    if compared.winner != INCONCLUSIVE:
        return ""
    return next(
        (each.reason for each in compared.versus if each.reason), "no output is better than all others"
    )


def _not_measured(figures: Iterable[Figure]) -> list[Text]:
    """What has no value, a line for each reason."""
    reasons: dict[str, list[str]] = {}
    for figure in figures:
        if figure.status != "ok":
            reasons.setdefault(f"{figure.status}: {figure.reason}", []).append(figure.title)
    return [Text(f"{', '.join(titles)}: {reason}", style="dim") for reason, titles in reasons.items()]
