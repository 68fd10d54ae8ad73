"""Workers and a feeder, real processes, real Celery: whatever dies or is stopped, its job runs elsewhere, soon."""

import os
import signal
import time

from contract.settings import Settings
from tests.worker.scripted import manifest_of, row, until

LEASE_SECONDS = 3.0
SOON_SECONDS = 5.0
"""After a job is free, it runs again within this time."""


def test_a_dead_workers_job_runs_again_soon_after_its_lease_is_over(worker, fed, begun, storage):
    assert Settings().lease_seconds + SOON_SECONDS <= 30
    moving = row("moving-3")
    short = {"lease_seconds": LEASE_SECONDS}
    with fed(moving, **short), worker("a", **short), worker("b", **short):
        first = begun("moving-3")
        os.kill(first.child, signal.SIGKILL)
        killed = time.time()
        second = begun("moving-3", 2)
        assert second.at - killed < LEASE_SECONDS + SOON_SECONDS
        os.kill(second.worker, signal.SIGKILL)
        killed = time.time()
        third = begun("moving-3", 3)
        assert third.at - killed < LEASE_SECONDS + SOON_SECONDS
        assert third.worker != second.worker
        made = until(lambda: manifest_of(storage, moving))
    assert (made.status, made.attempt.number) == ("succeeded", 3)
