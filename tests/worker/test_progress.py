"""Progress as the ledger shows it."""

import pytest

from contract.errors import LeaseLost
from worker.progress import JobProgress


def test_a_new_stage_counts_its_own_frames():
    progress = JobProgress()
    progress.enter("generating", total=10)
    progress.advance(4)
    shown = progress.snapshot()
    assert (shown.state, shown.frames, shown.total) == ("generating", 4, 10)
    assert shown.fps > 0
    assert shown.eta_seconds is not None


def test_without_frames_there_is_no_pace_and_no_eta():
    progress = JobProgress()
    progress.enter("preparing")
    assert progress.snapshot().fps == 0
    assert progress.snapshot().eta_seconds is None


def test_a_revoked_lease_stops_the_next_step():
    progress = JobProgress()
    progress.revoke()
    with pytest.raises(LeaseLost):
        progress.advance()
    with pytest.raises(LeaseLost):
        progress.enter("uploading")
