"""The worker's own app with scripted jobs: `celery -A tests.chaos.app worker`.

Everything is real (claim, beat, staging, retries, commit) but the middle of a render: jobs do what their script says.
And everything that a client of the ledger and the store sees is written into the history.
"""

import os
import signal
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from celery import signals

from contract.errors import DublineError, EngineFailed, NoFace, TemporaryFailure
from contract.ledger import Ledger
from contract.manifest import Curves, Manifest
from contract.storage import Storage
from tests.chaos.history import History
from tests.chaos.script import Script
from worker.app import app, refuse_early
from worker.child import Child

FOLDER = Path(os.environ["CHAOS_FOLDER"])
"""Holds the history, and what jobs remember from one attempt to the next."""
MUTANT = os.environ.get("CHAOS_MUTANT", "")
"""`unconditional`: commits by a plain put. A worker that must be found out."""
HISTORY = History(FOLDER / "history.jsonl", f"worker {os.getpid()}")
STEP_SECONDS = 0.02

app.conf.include = ["tests.chaos.app"]  # its child imports this file, too
signals.worker_init.disconnect(refuse_early)  # it has tests of its own, and workers start here by the hundred

_claim, _put_if_absent, _perform = Ledger.claim, Storage.put_if_absent, Child.perform
_pausing: set[str] = set()
"""Jobs whose next commit is to be preceded by a long sleep of the whole process."""


def claim(ledger, job, owner, *rest, **more):
    """The ledger's claim, written down."""
    answer = _claim(ledger, job, owner, *rest, **more)
    if answer.outcome == "claimed":
        HISTORY.note("claimed", job=job, attempt=owner, note=str(answer.attempts))
    return answer


def put_if_absent(storage, key, body, *rest, **more):
    """The store's conditional put; what stands after a commit is written down."""
    if not key.endswith("/manifest.json") or not key.startswith("jobs/"):
        return _put_if_absent(storage, key, body, *rest, **more)
    pause_before_commit(key)
    if MUTANT == "unconditional":
        storage.put(key, body)
        standing = body
    else:
        standing = _put_if_absent(storage, key, body, *rest, **more)
    seen = Manifest.model_validate_json(standing)
    HISTORY.note("stands", job=seen.job_id, attempt=seen.attempt.id, status=seen.status)
    return standing


def pause_before_commit(key):
    """A job that is to pause stops its process at the worst moment, once; somebody must continue it."""
    job = key.split("/")[1]
    if job in _pausing:
        _pausing.discard(job)
        HISTORY.note("pausing", job=job, pid=os.getpid())
        os.kill(os.getpid(), signal.SIGSTOP)


def perform(child, ticket, progress, findings):
    """One attempt, written down; its middle is the script's."""
    name = {"job": ticket.job_id, "attempt": ticket.attempt_id}
    HISTORY.note("began", **name, note=str(ticket.number), pid=os.getpid())
    ended = "killed"
    try:
        row = ticket.delivery.row.id
        if row.startswith("render"):
            _perform(child, ticket, progress, findings)
        elif row.startswith("noop"):
            time.sleep(float(row.split("-")[1]))
        else:
            play(child, ticket, progress, findings)
        ended = "done"
    except BaseException as error:
        ended = error.code if isinstance(error, DublineError) else type(error).__name__
        child.is_spent = isinstance(error, EngineFailed)
        raise
    finally:
        HISTORY.note("ended", **name, status=ended)


def play(child, ticket, progress, findings):
    """Stage in, do what the script says, stage out."""
    from worker.media.writer import EncodedFacts
    from worker.stage import Inlet, stage_out

    storage, settings = child._storage, child._settings
    with TemporaryDirectory(prefix="chaos-", dir=FOLDER) as name:
        folder = Path(name)
        video, audio = Inlet.of(settings, storage).stage_in(ticket.delivery.row.job, folder, progress)
        findings.video, findings.audio = video.record, audio.record
        script = Script.of(audio.path)
        act(script, ticket.job_id, progress)
        output = folder / "video.mp4"
        output.write_bytes(script.output())
        facts = EncodedFacts(
            frames=25, bytes=script.bytes, sha256=script.sha256, width=2, height=2, duration_seconds=1.0
        )
        progress.enter("uploading")
        curves = Curves(fps=25, aperture=(0.5,), loudness=(-20.0,))
        findings.output, _ = stage_out(
            storage, ticket.job_id, ticket.attempt_id, output, facts, curves, progress
        )


def act(script, job, progress):
    """What happens between staging in and staging out. Raises what is planned."""
    if script.kind == "hung":
        time.sleep(3600)
    work(script.seconds, progress)
    before = remember(job)
    if script.kind == "bad":
        raise NoFace("as planned")
    if script.kind == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
    if before < script.failures:
        raise (EngineFailed if script.kind == "crashing" else TemporaryFailure)("as planned")
    if script.kind == "pausing" and before == 0:
        _pausing.add(job)


def remember(job):
    """How many bodies of this job came this far before, in whatever process."""
    with (FOLDER / f"memory-{job}").open("ab") as file:
        before = file.tell()
        file.write(b".")
    return before


def work(seconds, progress):
    """Frames that move, for so long."""
    steps = max(1, round(seconds / STEP_SECONDS))
    progress.enter("generating", total=steps)
    for _ in range(steps):
        time.sleep(STEP_SECONDS)
        progress.advance()


Ledger.claim, Storage.put_if_absent, Child.perform = claim, put_if_absent, perform
