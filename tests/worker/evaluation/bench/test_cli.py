"""`dubline bench` on the command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from worker.evaluation.bench import cli
from worker.evaluation.bench.report import Report

DEMO = Path(__file__).parents[4] / "demo"


@pytest.fixture
def bench(weights_folder, monkeypatch):
    monkeypatch.setenv("DUBLINE_WEIGHTS", str(weights_folder))
    app = typer.Typer(add_completion=False)
    app.command()(cli.bench)
    pair = ["--video", DEMO / "portrait.mp4", "--audio", DEMO / "voice-short.wav"]
    return lambda *words: CliRunner().invoke(app, [str(each) for each in (*pair, *words)])


def test_it_prints_tables_and_writes_what_it_is_asked_to(bench, tmp_path):
    figures, drawing = tmp_path / "out.json", tmp_path / "out.svg"
    done = bench(
        "--engine",
        "preview",
        "--seconds",
        0.12,
        "--runs",
        1,
        "--cold-runs",
        0,
        "--json",
        figures,
        "--plot",
        drawing,
    )
    assert done.exit_code == 0, done.output
    assert "warm, new source" in done.stdout
    assert Report.model_validate_json(figures.read_text()).clip.frames == 3
    assert drawing.read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--video", "no.mp4"), "no.mp4 is not a file"),
        (("--plot", "out.jpg"), "call it .svg"),
        (("--json", "no/folder/out.json"), "make it first"),
        (("--batch-sizes", "1,two"), "no list of numbers"),
        (("--batch-sizes", "0"), "no list of numbers"),
        (("--layouts", "sideways"), "no list of layouts; there are contiguous,channels-last,throughout"),
        (("--layouts", ""), "no list of layouts"),
    ],
)
def test_what_is_asked_wrongly_is_refused_before_anything_is_measured(bench, words, told):
    done = bench(*words)
    assert told in str(done.exception)


def test_without_its_weights_musetalk_names_what_to_fetch(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("DUBLINE_WEIGHTS", str(tmp_path))
    assert "dubline models fetch musetalk-v15" in str(bench("--seconds", 0.12).exception)


def test_batch_sizes_are_sorted_and_each_is_taken_once():
    assert cli._sizes("8, 1,8,2") == (1, 2, 8)
    assert cli._sizes(None) is None


def test_layouts_are_taken_in_the_order_they_are_named_and_each_once():
    assert cli._layouts("throughout, contiguous,throughout") == ("throughout", "contiguous")
    assert cli._layouts(None) == ()


def test_the_command_is_listed_without_loading_anything_heavy():
    heavy = "{'torch', 'cv2', 'av', 'numpy'} & set(sys.modules)"
    program = f"import sys, json, worker.evaluation.bench.cli; print(json.dumps(sorted({heavy})))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == []
