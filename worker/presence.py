"""Tells Redis that this worker is there, what it does, and what the job at hand logs: for people who look on.

It runs in the child, which alone knows its GPU, in a thread of its own. Nothing of it matters to a job: while Redis is
away, nothing is told.
"""

import logging
import platform
import sys
import threading
import time
from importlib.metadata import version

from contract.errors import DublineError
from contract.livelog import LiveLog
from contract.settings import Settings
from contract.workers import Doing, Roster, WorkerRecord
from worker.engines.gpu import Gpu, gpu_in_use
from worker.tasks import AtHand, JobRunner

logger = logging.getLogger(__name__)

TELL_SECONDS = 1.0
SOFTWARE = ("dubline", "celery")


class Presence:
    """Tells of one worker, by the name that Celery gave it, and of the jobs of its runner."""

    def __init__(self, name: str, runner: JobRunner, settings: Settings) -> None:
        self._name = name
        self._runner = runner
        self._roster = Roster(settings)
        self._excerpts = Excerpts(LiveLog(settings))
        self._device: str | None = None
        self._is_enrolled = False
        self._is_away = False
        self._over = threading.Event()

    def start(self) -> None:
        """Tell every second, until `stop` or the end of the process."""
        threading.Thread(target=self._run, name="presence", daemon=True).start()

    def stop(self) -> None:
        """Tell no more."""
        self._over.set()

    def _run(self) -> None:
        self.tell()
        while not self._over.wait(TELL_SECONDS):
            self.tell()

    def tell(self) -> None:
        """Tell once."""
        at_hand, gpu = self._runner.at_hand, gpu_in_use()
        self._show(at_hand, gpu)
        try:
            self._announce(self._record(at_hand, gpu))
            self._excerpts.pass_on(at_hand)
        except DublineError as error:
            if not self._is_away:
                logger.warning("nobody is told what this worker does: %s", error)
            self._is_away = True
        else:
            self._is_away = False

    def _show(self, at_hand: AtHand | None, gpu: Gpu | None) -> None:
        """The same for Prometheus."""
        metrics = self._runner.metrics
        if at_hand:
            progress = at_hand.progress
            metrics.at_hand(progress.snapshot(), time.monotonic() - progress.changed)
        else:
            metrics.at_hand(None)
        if gpu:
            metrics.gpu(gpu.name, gpu.used_bytes, gpu.total_bytes, gpu.use_ratio)

    def _announce(self, record: WorkerRecord) -> None:
        if self._is_enrolled:
            self._roster.announce(record)
        else:
            self._roster.enrol(record)
            self._is_enrolled = True

    def _record(self, at_hand: AtHand | None, gpu: Gpu | None) -> WorkerRecord:
        self._device = gpu.name if gpu else _device_of(at_hand) or self._device
        here = WorkerRecord(
            name=self._name,
            host=platform.node(),
            doing=self._doing(at_hand),
            device=self._device,
            gpu_used_bytes=gpu.used_bytes if gpu else None,
            gpu_bytes=gpu.total_bytes if gpu else None,
            software=_software(),
        )
        return _with_job(here, at_hand) if at_hand else here

    def _doing(self, at_hand: AtHand | None) -> Doing:
        if self._runner.is_stopping:
            return "stopping"
        return "busy" if at_hand else "idle"


class Excerpts:
    """Passes on what attempts log while they run, each line once."""

    def __init__(self, live: LiveLog) -> None:
        self._live = live
        self._followed: AtHand | None = None
        self._told = 0
        """Lines of the followed attempt that were passed on."""

    def pass_on(self, at_hand: AtHand | None) -> None:
        """What is new in the log of the attempt at hand, and the rest of one that has ended."""
        if self._followed and at_hand is not self._followed:
            self._add(self._followed)
            self._live.ended(self._followed.ticket.job_id)
            self._followed = None
        if at_hand:
            if self._followed is None:
                self._followed, self._told = at_hand, 0
            self._add(at_hand)

    def _add(self, at_hand: AtHand) -> None:
        lines, told = at_hand.log.after(self._told)
        if lines:
            self._live.append(at_hand.ticket.job_id, at_hand.ticket.attempt_id, lines)
        self._told = told


def _with_job(record: WorkerRecord, at_hand: AtHand) -> WorkerRecord:
    delivery, progress = at_hand.ticket.delivery, at_hand.progress.snapshot()
    return record.model_copy(
        update={
            "batch": delivery.batch,
            "row": delivery.row.id,
            "job": delivery.row.job.id,
            "attempt": at_hand.ticket.attempt_id,
            "stage": progress.state,
            "frames": progress.frames,
            "total": progress.total,
            "fps": round(progress.fps, 3),
        }
    )


def _device_of(at_hand: AtHand | None) -> str | None:
    """What the attempt runs on, as soon as its engine is there to say so."""
    if at_hand is None or at_hand.progress.state == "staging":
        return None
    return at_hand.findings.device


def _software() -> dict[str, str]:
    used = (*SOFTWARE, "torch") if "torch" in sys.modules else SOFTWARE
    return {"python": platform.python_version()} | {name: version(name) for name in used}
