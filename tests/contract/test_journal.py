"""How processes log: as text as ever, or one JSON object a line, with the names of what a line is about."""

import io
import json
import logging
import subprocess
import sys
import warnings

import pytest

from contract.journal import LINE_BYTES, TEXT_ABOUT, about, log_as
from producer.local import _environment


@pytest.fixture
def log(monkeypatch):
    """Log in a format by a root logger that is nobody's yet: the logger, and what it wrote."""

    def begin(log_format, **more):
        root = logging.RootLogger(logging.WARNING)
        monkeypatch.setattr(logging, "root", root)
        stream = io.StringIO()
        log_as(log_format, stream=stream, **more)
        return root, lambda: stream.getvalue().splitlines()

    yield begin
    logging.captureWarnings(False)


def test_a_line_is_an_object_with_the_names_of_its_block(log):
    root, lines = log("json")
    root.info("before")
    with about(batch="lessons"), about(row="one", job="0123456789abcdef", attempt="a1"):
        root.warning("two\nlines, %s", "Zoë")
    before, during = map(json.loads, lines())
    assert before.keys() == {"time", "level", "logger", "message"}
    assert before["time"].endswith("+00:00")
    assert (during["level"], during["logger"], during["message"]) == ("WARNING", "root", "two\nlines, Zoë")
    names = {name: during[name] for name in ("batch", "row", "job", "attempt")}
    assert names == {"batch": "lessons", "row": "one", "job": "0123456789abcdef", "attempt": "a1"}


def test_what_a_line_says_of_itself_comes_before_its_block(log):
    root, lines = log("json")
    with about(batch="lessons", row="one"):
        root.info("open", extra={"batch": "other"})
    (told,) = map(json.loads, lines())
    assert (told["batch"], told["row"]) == ("other", "one")


def test_a_defect_is_one_line_with_its_traceback_and_a_long_message_is_cut(log):
    root, lines = log("json")
    try:
        raise RuntimeError("a defect")
    except RuntimeError:
        root.exception("it broke")
    root.info("x" * 1_000_000)
    defect, long = map(json.loads, lines())
    assert defect["traceback"].endswith("RuntimeError: a defect")
    assert len(long["message"]) == LINE_BYTES


def test_a_warning_of_a_library_is_an_object_too(log):
    root, lines = log("json")
    logging.getLogger("py.warnings").parent = root
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", UserWarning, stacklevel=1)
    assert "UserWarning: old" in json.loads("".join(lines()))["message"]


def test_text_is_as_it_was_with_and_without_what_it_is_about(log):
    root, lines = log("text")
    with about(batch="lessons"):
        root.info("open")
    assert lines()[0].endswith(" INFO root: open") and "lessons" not in lines()[0]
    root, lines = log("text", text=TEXT_ABOUT)
    with about(batch="lessons", row="one", job="0123456789abcdef"):
        root.info("begins")
    root.info("waits")
    assert lines()[0].endswith(" INFO batch=lessons row=one job=0123456789ab root: begins")
    assert lines()[1].endswith(" INFO - root: waits")


def test_a_feeders_lines_are_objects_and_name_the_batch(settings, storage):
    storage.put("batches/lessons/rows.jsonl", b"{}\n")
    words = [sys.executable, "-m", "producer.cli", "feeder"]
    environment = _environment(settings.model_copy(update={"log_format": "json"}))
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as process:
        told = [json.loads(process.stderr.readline()) for _ in range(2)]
        process.terminate()
        rest = process.stderr.read()
        assert process.wait(20) == 0
    assert [(each["batch"], each["level"]) for each in told] == [("lessons", "INFO"), ("lessons", "ERROR")]
    assert all(json.loads(line) for line in rest.splitlines())
