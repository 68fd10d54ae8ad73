"""A row's way through the real parts is one trace: the command that submits it, the feeder, and the worker's child."""

import json
import subprocess
import sys
import time
import wave
from pathlib import Path

import pytest

from contract.settings import Settings
from producer.local import LocalStack, _environment

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")
from tests.collector import collecting

DEMO = Path(__file__).parents[1] / "demo"
CSV = "id,video,audio,end\ngood,portrait.mp4,second.wav,0.5\nbad,second.wav,second.wav,\n"


@pytest.fixture(scope="module")
def spans(programs, weights_folder, tmp_path_factory):
    """All spans of a batch of two rows, after its end and the stack's."""
    folder = tmp_path_factory.mktemp("traced")
    (folder / "portrait.mp4").write_bytes((DEMO / "portrait.mp4").read_bytes())
    with (
        wave.open(str(DEMO / "voice-short.wav")) as long,
        wave.open(str(folder / "second.wav"), "wb") as short,
    ):
        short.setparams(long.getparams())
        short.writeframes(long.readframes(long.getframerate()))
    (folder / "jobs.csv").write_text(CSV)
    with collecting() as collector:
        settings = Settings(weights=weights_folder, otlp_endpoint=collector.endpoint)
        with LocalStack.start(folder / "stack", workers=1, flower=False, settings=settings) as stack:
            words = [sys.executable, "-m", "producer.cli", "submit", folder / "jobs.csv", "--wait", "--json"]
            done = subprocess.run(words, env=_environment(stack.settings), capture_output=True, text=True)
            told = json.loads(done.stdout)
            assert told["counts"] == {"done": 1, "failed": 1}, done.stderr
            deadline = time.monotonic() + 30
            while len(collector.named("attempt")) < 2 and time.monotonic() < deadline:
                time.sleep(0.1)
        yield collector.spans


def of(spans, row):
    """The trace of a row, by the names of its spans."""
    (trace,) = {each.trace for each in spans if each.facts.get("dubline.row") == row}
    return [each for each in spans if each.trace == trace]


def test_a_row_has_exactly_one_trace_from_its_submission_to_its_manifest(spans):
    assert len({each.trace for each in spans}) == 2
    trace = of(spans, "good")
    by_name = {each.name: each for each in trace}
    submit, attempt = by_name["submit"], by_name["attempt"]
    assert submit.parent == "" and submit.service == "dubline-submit"
    assert {each.service for each in trace if each.name == "publish"} == {"dubline-feeder"}
    assert by_name["publish"].parent == attempt.parent == submit.id
    assert attempt.service == "dubline-worker" and attempt.facts["dubline.outcome"] == "committed"
    stages = {"stage_in", "setup", "generate", "blend", "stream", "stage_out", "commit"}
    assert stages <= by_name.keys()
    for name in stages:
        part = by_name[name]
        assert part.parent == attempt.id
        assert attempt.began_ns - 5e6 <= part.began_ns <= part.ended_ns <= attempt.ended_ns + 5e6, name
    known = {each.id for each in trace}
    assert [each for each in trace if each.parent and each.parent not in known] == []


def test_a_row_that_fails_has_a_trace_that_says_why(spans):
    attempt = next(each for each in of(spans, "bad") if each.name == "attempt")
    assert attempt.is_error and attempt.facts["dubline.code"] == "no_video"
    assert "commit" in {each.name for each in of(spans, "bad")}
