"""The first of the hostile files through the real queue; `make hostile` sends a hundred, and weighs the worker."""

import sys

import pytest

from contract.settings import Settings
from tests.chaos import hostile
from tests.chaos.hostile import hostile_files, run_hostile

FILES = 8
"""One of each kind."""


def test_there_are_a_hundred_of_them_and_few_that_may_end_well():
    files = list(hostile_files())
    assert len(files) >= 100
    assert len({each.name for each in files}) == len(files)
    assert sum("succeeded" in each.may for each in files) < 2 / 3 * len(files)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_hostile_files_end_as_they_may_and_the_worker_lives(programs, weights_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(hostile, "WARM_UPS", 1)
    monkeypatch.setattr(hostile, "WHOLE", ())
    monkeypatch.setattr(hostile, "ROUNDS", 1)
    report = run_hostile(FILES, tmp_path, Settings(weights=weights_folder))
    assert (report.files, report.wrong, report.processes) == (FILES, [], 1), report
