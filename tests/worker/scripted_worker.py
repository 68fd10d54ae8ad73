"""The worker's app for `celery -A tests.worker.scripted_worker`: a job does what the id of its row says."""

import os
import time
from pathlib import Path

from celery import signals

from worker.app import app, refuse_early
from worker.child import Child

STARTED = Path(os.environ["STARTED"])
"""A folder with an empty file for every job that began."""

app.conf.include = ["tests.worker.scripted_worker"]  # its child imports this file, too
signals.worker_init.disconnect(refuse_early)  # it has tests of its own


def perform(child, ticket, progress, findings):
    """`moving-9` works for 9 s, `hanging-9` sleeps for 9 s and hears nothing."""
    what, _, seconds = ticket.delivery.row.id.partition("-")
    (STARTED / f"{ticket.delivery.row.id}.{ticket.number}").touch()
    until = time.monotonic() + float(seconds)
    if what == "hanging":
        time.sleep(float(seconds))
    while time.monotonic() < until:
        progress.touch()
        time.sleep(0.02)


Child.perform = perform
