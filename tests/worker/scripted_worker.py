"""The worker's app for `celery -A tests.worker.scripted_worker`: a job does what the id of its row says."""

import os
import time
from collections import deque
from functools import partial
from itertools import repeat
from pathlib import Path

from celery import signals

import worker.app as composition
from worker import preempt
from worker.app import app, refuse_early
from worker.child import Child

STARTED = Path(os.environ["STARTED"])
"""A folder with a file for every job that began, in it a line for each time: the moment, the worker and its child."""

app.conf.include = ["tests.worker.scripted_worker"]  # its child imports this file, too
signals.worker_init.disconnect(refuse_early)  # it has tests of its own
preempt.POLL_SECONDS = 0.2  # a test does not wait as long
if endpoint := os.environ.get("METADATA"):
    composition.NoticePoller = partial(preempt.NoticePoller, endpoint=endpoint)
if seconds := os.environ.get("VISIBILITY_SECONDS"):
    app.conf.broker_transport_options["visibility_timeout"] = float(seconds)


def perform(child, ticket, progress, findings):
    """`moving-9` works for 9 s, `hanging-9` sleeps for 9 s and hears nothing, `deaf-9` lets no other thread run."""
    what, _, seconds = ticket.delivery.row.id.partition("-")
    with (STARTED / f"{ticket.delivery.row.id}.{ticket.number}").open("a") as file:
        file.write(f"{time.time()} {os.getppid()} {os.getpid()}\n")
    until = time.monotonic() + float(seconds)
    if what == "hanging":
        time.sleep(float(seconds))
    if what == "deaf":
        deque(
            repeat(None, int(float(seconds) * 1e8)), maxlen=0
        )  # in C, asking for no signal and letting no thread run
    while time.monotonic() < until:
        progress.touch()
        time.sleep(0.02)


Child.perform = perform
