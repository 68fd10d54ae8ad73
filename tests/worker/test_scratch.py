import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contract.errors import ConfigurationError
from worker import scratch
from worker.scratch import PREFIX, sweep

ATTEMPT = """
import sys, time
from pathlib import Path
from worker.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "video").write_bytes(b"gigabytes")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def attempt(tmp_path):
    """Another process with an attempt's folder under `tmp_path`, an hour old."""
    with subprocess.Popen([sys.executable, "-c", ATTEMPT, str(tmp_path)], stdout=subprocess.PIPE) as process:
        folder = tmp_path / process.stdout.readline().decode().strip()
        age(folder)
        yield process, folder
        process.kill()


def age(folder):
    an_hour_ago = time.time() - 3600
    os.utime(folder, (an_hour_ago, an_hour_ago))


def test_the_folder_of_a_killed_attempt_is_removed_and_that_of_a_live_one_is_not(attempt, tmp_path):
    process, folder = attempt
    sweep(tmp_path)
    assert (folder / "video").is_file()
    process.send_signal(signal.SIGKILL)
    process.wait()
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_folder_that_cannot_be_written_to_is_told_with_what_to_do(tmp_path, monkeypatch):
    scratch.require(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"no scratch folder in .*/file.* set DUBLINE_SCRATCH"):
        scratch.require(tmp_path / "file" / "scratch")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ConfigurationError, match=f"nothing can be written to {tmp_path}: No space left"):
        scratch.require(tmp_path)


def test_no_temporary_folder_at_all_is_told_too(monkeypatch):
    def nowhere():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(scratch, "gettempdir", nowhere)
    with pytest.raises(ConfigurationError, match="no scratch folder in any temporary folder"):
        scratch.require(None)


def test_the_next_attempt_sweeps(attempt, tmp_path):
    from worker.scratch import scratch_folder

    process, folder = attempt
    process.kill()
    process.wait()
    with scratch_folder(tmp_path) as own:
        assert list(tmp_path.iterdir()) == [own]
    assert not folder.exists()


def test_what_is_young_or_another_s_or_a_link_is_left_alone(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    place = tmp_path / "scratch"
    for folder in (elsewhere, place / f"{PREFIX}young", place / "dubline-other"):
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"kept")
    age(elsewhere)
    age(place / "dubline-other")
    (place / f"{PREFIX}link").symlink_to(elsewhere)
    sweep(place)
    assert len(list(place.glob("*/file"))) == 3
    monkeypatch.setattr(scratch, "YOUNG_SECONDS", -1.0)
    sweep(place)
    assert sorted(path.name for path in place.iterdir()) == [f"{PREFIX}link", "dubline-other"]
    assert (elsewhere / "file").is_file()
