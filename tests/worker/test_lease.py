"""A lease lives as long as its job moves."""

import time

import pytest

from worker import lease
from worker.lease import Heartbeat

LEASE_SECONDS = 0.5


@pytest.fixture
def heartbeat(ledger, monkeypatch):
    monkeypatch.setattr(lease, "STALL_SECONDS", 0.3)
    assert ledger.claim("job", "me", LEASE_SECONDS).outcome == "claimed"
    with Heartbeat(ledger, "job", "me", LEASE_SECONDS, "tag") as heart:
        yield heart


def test_a_job_that_moves_without_counting_frames_keeps_its_lease(heartbeat, ledger):
    for _ in range(20):
        time.sleep(0.05)
        heartbeat.progress.touch()
    assert ledger.claim("job", "another", 30).outcome == "busy"


def test_a_job_that_hangs_loses_its_lease_though_its_process_lives(heartbeat, ledger):
    time.sleep(0.3 + LEASE_SECONDS + 0.3)
    assert ledger.claim("job", "another", 30).outcome == "claimed"
