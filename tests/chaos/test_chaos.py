"""A short storm over the whole embedded stack: nothing is lost, done twice or wrong. `make chaos` runs long ones.

And two stacks that are broken on purpose, for a judge who never finds anything proves nothing.
"""

import sys
from dataclasses import replace

import pytest

from contract.settings import Settings
from tests.chaos.proxy import CALM
from tests.chaos.run import NEVER, Options, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

QUICK = Options(seed=1, workers=2, lease_seconds=1.5, lost_attempts=3, stall_seconds=60)
PLANTED = ("long", "flaky", "crashing", "bad", "poison", "pausing", "doomed", "withdrawn", "render")
CALM_QUICK = replace(QUICK, rates=CALM, fault_seconds=NEVER)


@pytest.fixture
def given(programs, weights_folder):
    return Settings(weights=weights_folder)


def test_whatever_dies_every_job_ends_in_exactly_one_manifest(given, tmp_path):
    kinds = ("short",) * 7 + PLANTED + ("short",) * 8
    report = run(replace(QUICK, kinds=kinds, workers=3, fault_seconds=2.5), tmp_path, given)
    assert report.is_fine, report
    assert sum(report.faults.values()) > 2, report
    assert report.statuses["failed"] == 2, "as planned: one bad input, one poison job"


def test_commits_without_their_condition_are_found_out(settings, storage, tmp_path):
    """A job stops its process right before the commit, and is woken when another attempt has won."""
    kinds = ("pausing", "short", "short", "short")
    broken = run(replace(CALM_QUICK, kinds=kinds, mutant="unconditional"), tmp_path, settings)
    assert {each.kind for each in broken.wrong} >= {"duplicated", "replaced"}, broken
    assert not broken.left_alive, broken


def test_a_stack_without_its_feeder_is_found_out(settings, storage, tmp_path):
    """So many jobs that a slow machine's feeder has not published them all before it is stopped."""
    kinds = ("short",) * 120
    broken = run(replace(CALM_QUICK, kinds=kinds, feederless=True, stall_seconds=5), tmp_path, settings)
    begun = "never ended"  # of a job that a worker had just taken when all was stopped
    assert {each.kind for each in broken.wrong} - {begun} == {"lost", "not announced"}, broken
    assert not broken.left_alive, broken
