"""Progress as the ledger shows it."""

import pytest

from contract.errors import Cancelled, LeaseLost
from worker.progress import JobProgress


def test_a_new_stage_counts_its_own_frames():
    progress = JobProgress()
    progress.enter("generating", total=10)
    progress.advance(4)
    shown = progress.snapshot()
    assert (shown.state, shown.frames, shown.total) == ("generating", 4, 10)
    assert shown.fps > 0
    assert shown.eta_seconds is not None


def test_what_an_earlier_attempt_had_done_counts_but_not_as_pace(monkeypatch):
    now = iter([0.0, 2.0])
    monkeypatch.setattr("worker.progress.time.monotonic", lambda: next(now))
    progress = JobProgress()
    progress.enter("generating", total=1000, done=900)
    progress.advance(50)
    shown = progress.snapshot()
    assert (shown.frames, shown.fps, shown.eta_seconds) == (950, 25, 2)


def test_without_frames_there_is_no_pace_and_no_eta():
    progress = JobProgress()
    progress.enter("preparing")
    assert progress.snapshot().fps == 0
    assert progress.snapshot().eta_seconds is None


@pytest.mark.parametrize(
    "step", [JobProgress.advance, JobProgress.touch, lambda progress: progress.enter("uploading")]
)
def test_whatever_the_render_does_next_stops_it_for_the_reason_it_was_given_first(step):
    progress = JobProgress()
    step(progress)
    progress.revoke(Cancelled("a person did not want it"))
    progress.revoke(LeaseLost("another has it"))
    with pytest.raises(Cancelled, match="a person did not want it"):
        step(progress)
