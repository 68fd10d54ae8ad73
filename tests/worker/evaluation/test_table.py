"""Figures for a terminal."""

import io

from rich.console import Console

from contract.figures import Figure, Figures, Sync
from worker.evaluation.cli import _bar
from worker.evaluation.compare import Seen, comparison_of
from worker.evaluation.table import table_of_comparison


def figures():
    figure = Figure(title="sharpness", value=1.0, better="nearer 1", status="ok", n=100)
    metrics = {"sharpness_ratio": figure}
    return Figures(task="cross audio", frames=100, sync=Sync(verdict="unknown"), metrics=metrics, seconds=1.0)


def test_names_in_brackets_are_names_and_no_markup():
    names = ("MuseTalk[v15]", "MuseTalk[/v1]")
    seen = Seen("[/clip]", {name: figures() for name in names}, {name: {} for name in names})
    shown = io.StringIO()
    Console(file=shown, width=200).print(table_of_comparison(comparison_of([seen], names[0], 0.0)))
    assert shown.getvalue().splitlines()[1].split() == [*names, "improvement", "winner"]


def test_a_clip_in_brackets_has_its_bar():
    with _bar() as show:
        show("[/clip]: judging", 1, 2)
