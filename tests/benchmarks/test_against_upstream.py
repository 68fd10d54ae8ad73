"""What follows from the seconds of both sides, and our side on tiny networks."""

import argparse
import json
from pathlib import Path

import pytest

from benchmarks import against_upstream
from benchmarks.against_upstream import Flow, report
from contract.job import JobOptions
from contract.settings import Settings
from tests.worker.engines.musetalk import tiny
from worker.evaluation.bench import stand_ins
from worker.evaluation.bench.jobs import Done, Pair
from worker.weights import registry

DEMO = Path(__file__).parents[2] / "demo"
FLOWS = [
    Flow("Dubline", "new", 100, 10.0),
    Flow("Dubline", "prepared", 100, 5.0),
    Flow("upstream, offline script", "new", 100, 40.0),
    Flow("upstream, realtime mode", "new", 99, 33.0),
    Flow("upstream, realtime mode", "prepared", 99, 11.0),
]


def options(as_json):
    return argparse.Namespace(json=as_json, variant="v15", frames=100, video=Path("clip.mp4"))


def test_ratios_are_of_frames_a_second_and_of_the_same_kind_of_source(capsys):
    report(FLOWS, options(as_json=True), ("a stub",))
    record = json.loads(capsys.readouterr().out)
    assert list(record["ratios"].values()) == pytest.approx([4.0, 8.0, 20 / 9])
    assert [each["fps"] for each in record["flows"]] == pytest.approx([10, 20, 2.5, 3, 9])
    assert record["substitutes"] == ["a stub"]


def test_people_read_the_same_ratios_with_the_aims_beside_them(capsys):
    report(FLOWS, options(as_json=False), ("a stub",))
    printed = capsys.readouterr().out
    for words in ("4.00 x  new source", "8.00 x  prepared", "2.22 x", "10 x the offline script", "a stub"):
        assert words in printed


def test_a_flow_is_the_median_of_its_runs():
    done = [Done(seconds, 50, 4, 4, 0, {}) for seconds in (9.0, 2.0, 4.0)]
    assert against_upstream.flow("Dubline", "new", done) == Flow("Dubline", "new", 50, 4.0)


def test_a_prepared_source_is_measured_also_where_nothing_is_kept_by_default(
    weights_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(stand_ins, "PARTS", tiny.architectures())
    monkeypatch.setattr(registry, "REGISTRY", registry.REGISTRY)
    monkeypatch.setenv("DUBLINE_WEIGHTS", str(weights_folder))
    monkeypatch.setenv("DUBLINE_PREPARED_BYTES", "0")
    made = stand_ins.write(tmp_path / "weights", "musetalk-v15", Settings.read().weights)
    voice = against_upstream.scene.write_voice(DEMO / "voice-short.wav", 2, tmp_path / "voice.wav")
    pair = Pair(DEMO / "portrait.mp4", voice, JobOptions(engine="musetalk-v15"))
    new, prepared = against_upstream.ours(pair, made, tmp_path, 1)
    assert (new.source, prepared.source) == ("new", "prepared")
    assert new.frames == prepared.frames == 2
