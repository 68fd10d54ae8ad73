"""The tables of a report."""

import io

import pytest
from rich.console import Console

from worker.evaluation.bench.report import Memory
from worker.evaluation.bench.table import tables


@pytest.fixture
def shown(figures):
    def show(**changes):
        console = Console(file=io.StringIO(), width=120)
        console.print(tables(figures.model_copy(update=changes)))
        return console.file.getvalue()

    return show


def test_every_figure_is_in_the_tables(shown):
    text = shown()
    for words in (
        "31.0%",
        "throughout",
        "as jobs use them",
        "145%",
        "92%",
        "788 GFLOP",
        "158 TFLOP/s",
        "cold, new source",
        "31.5",
        "warm, prepared source",
        "55",
    ):
        assert words in text
    assert "9.00 GiB of the GPU, 10.00 GiB in use on the whole card" in text
    assert "1.006 USD an hour" in text
    assert "a note" in text


def test_without_a_gpu_it_is_ram(shown):
    assert "0.50 GiB of RAM" in shown(memory=Memory(where="ram", peak_bytes=2**29))


def test_what_was_not_measured_leaves_no_empty_table(shown):
    text = shown(core=(), matmul=None, gflop_per_frame=None, cold=None)
    assert "batch size" not in text
    assert "cold" not in text
