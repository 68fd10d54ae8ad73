"""The life of one delivery: claim, heartbeat, attempt, verdict, commit. Nothing about video."""

import logging
import platform
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import ValidationError

from contract import journal, keys, traces
from contract.errors import (
    BrokerUnavailable,
    Cancelled,
    ConfigurationError,
    DublineError,
    EngineFailed,
    Preempted,
    StoreUnavailable,
    TemporaryFailure,
    TimeLimit,
)
from contract.job import Delivery
from contract.ledger import Claim, Ledger
from contract.manifest import Attempt, Cost, ErrorRecord, Findings, Manifest
from contract.metrics import WorkerMetrics
from contract.pace import Pace
from contract.settings import Settings
from contract.storage import Storage
from worker.commit import Commit
from worker.lease import Heartbeat, Lease
from worker.logs import AttemptLog, about, recorded
from worker.progress import JobProgress
from worker.retry import RetryPolicy, Verdict

logger = logging.getLogger(__name__)

Outcome = Literal[
    "committed",
    "already committed",
    "held elsewhere",
    "not yet",
    "released",
    "lease lost",
    "left to newer workers",
]
LEFT_SECONDS = 5.0
"""A job that is left to newer workers is offered again after this long: whoever takes it then may be one."""
STOPPING = Preempted("this worker is being stopped; another goes on with the job")


@dataclass(frozen=True)
class Ticket:
    """One attempt at one delivered row."""

    delivery: Delivery
    attempt_id: str
    number: int
    started: datetime
    claim: Claim = field(default_factory=lambda: Claim("claimed"))
    began: float = field(default_factory=time.monotonic)
    """The same moment as `started`, on a clock that nobody sets."""

    @property
    def job_id(self) -> str:
        """The job that this is an attempt at."""
        return self.delivery.row.job.id

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self.began


Perform = Callable[[Ticket, JobProgress, Findings], None]
"""Render the ticket's job and upload what it made, writing down findings; raises the errors of contract.errors."""


@dataclass(frozen=True)
class _Case:
    """An attempt with all that is known of it."""

    ticket: Ticket
    findings: Findings
    log: AttemptLog


@dataclass(frozen=True)
class AtHand:
    """The attempt that a process works on, for those who look on: its parts change while it goes on."""

    ticket: Ticket
    findings: Findings
    log: AttemptLog
    progress: JobProgress


class JobRunner:
    """Runs deliveries one at a time. At-least-once in, exactly one committed manifest out."""

    def __init__(self, settings: Settings, storage: Storage, ledger: Ledger, perform: Perform) -> None:
        self._settings = settings
        self._storage = storage
        self._ledger = ledger
        self._perform = perform
        self._policy = RetryPolicy(settings)
        self.metrics = WorkerMetrics()
        self._commit = Commit(storage, ledger, self.metrics)
        self._pace = Pace(settings)
        self._progress: JobProgress | None = None
        self.at_hand: AtHand | None = None
        self.is_stopping = False

    def receive(self, message: Mapping[str, Any], delivery_tag: str, job: str | None = None) -> Outcome:
        """What became of one message, which names its `job`; one that a newer version wrote is left to newer workers."""
        try:
            delivery = Delivery.model_validate(message)
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"]))
            logger.warning("left to newer workers, for this one cannot read it: %s: %s", where, fault["msg"])
            self._put_off(job)
            return "left to newer workers"
        return self.run(delivery, delivery_tag)

    def _put_off(self, job: str | None) -> None:
        try:
            if job:
                self._ledger.put_off(job, LEFT_SECONDS)
        except BrokerUnavailable as away:
            logger.warning("it is published again when its message counts as lost: %s", away)

    def run(self, delivery: Delivery, delivery_tag: str) -> Outcome:
        """What became of one delivery. Returning means: the message may be acknowledged."""
        outcome: Outcome = "released"
        with about(delivery):
            try:
                outcome = self._take(delivery, delivery_tag)
            except TemporaryFailure as error:  # not claimed yet: the feeder publishes it again
                logger.warning("not begun [%s]: %s", error.code, error)
            logger.info("delivery ends: %s", outcome)
        return outcome

    def stop(self) -> None:
        """Have the attempt at hand, and every later one, give its job back. Safe in a signal handler."""
        self.is_stopping = True
        if self._progress is not None:
            self._progress.revoke(STOPPING)

    def _take(self, delivery: Delivery, delivery_tag: str) -> Outcome:
        job_id = delivery.row.job.id
        if self._commit.standing(delivery):
            return "already committed"
        attempt_id = secrets.token_hex(8)
        claim = self._ledger.claim(job_id, attempt_id, self._settings.lease_seconds)
        if claim.outcome == "busy":
            return "held elsewhere"
        if claim.outcome == "later":
            return "not yet"
        if claim.outcome == "ended":  # the ledger says so and S3 does not: S3 is right
            self._ledger.forget(job_id)
            return "released"
        ticket = Ticket(delivery, attempt_id, claim.number, datetime.now(UTC), claim)
        if claim.outcome == "cancelled":
            return self._end_unheld(ticket)
        return self._attempt(ticket, delivery_tag)

    def _end_unheld(self, ticket: Ticket) -> Outcome:
        """Commit a job that was cancelled while nobody held it."""
        error = Cancelled("a person cancelled the job before this attempt began")
        manifest = self._manifest(ticket, Findings(), error)
        self._commit.put(ticket.delivery, manifest, lambda: None)
        return "committed"

    def _attempt(self, ticket: Ticket, delivery_tag: str) -> Outcome:
        seconds = self._settings.lease_seconds
        lease = Lease(self._ledger, ticket.job_id, ticket.attempt_id, seconds, delivery_tag, ticket.claim)
        limit = ticket.delivery.row.time_limit_seconds or self._settings.time_limit_seconds
        with self._about(ticket), recorded() as log:
            case = _Case(ticket, Findings(), log)
            heart = Heartbeat(lease, limit, lambda reason: self._settle(case, reason, lambda: None))
            self._progress = heart.progress
            if self.is_stopping:
                self.stop()
            with heart, self._in_view(AtHand(ticket, case.findings, log, heart.progress)):
                outcome = self._run(case, heart)
            traces.note(outcome=outcome)
            return outcome

    @contextmanager
    def _about(self, ticket: Ticket) -> Iterator[None]:
        """Name the attempt in every line of the log, and measure it as a part of its row's trace."""
        batch, row, attempt = ticket.delivery.batch, ticket.delivery.row.id, ticket.attempt_id
        spanning = traces.span(
            "attempt", batch, row, job=ticket.job_id, attempt=attempt, number=ticket.number
        )
        with journal.about(attempt=attempt), spanning:
            yield

    @contextmanager
    def _in_view(self, at_hand: AtHand) -> Iterator[None]:
        self.at_hand = at_hand
        try:
            yield
        finally:
            self.at_hand = None

    def _run(self, case: _Case, heart: Heartbeat) -> Outcome:
        ticket = case.ticket
        if ticket.claim.orphaned:
            logger.warning("attempt %d ended without a word", ticket.number - 1)
        try:
            if refusal := self._policy.refusal(ticket.claim):
                heart.settle()
                return self._end(case, refusal, heart.check_held)
            logger.info("attempt %d begins", ticket.number)
            self.metrics.attempt_begins()
            self._perform(ticket, heart.progress, case.findings)
            heart.settle()
            heart.confirm()
            return self._end(case, None, heart.check_held)
        except (SystemExit, KeyboardInterrupt):
            heart.settle()
            told = TimeLimit("the attempt's time was over") if heart.time_is_up else STOPPING
            self._settle(case, heart.progress.revoked or told, heart.check_held)
            raise
        except Exception as error:  # noqa: BLE001 - the one place; `_ours` logs what is not ours
            heart.settle()
            return self._settle(case, heart.progress.revoked or _ours(error), heart.check_held)

    def _settle(self, case: _Case, error: DublineError, check: Callable[[], None]) -> Outcome:
        """What follows an attempt that ended in an error."""
        self.metrics.attempt_failed(error.code)
        verdict = self._policy.verdict(error, case.ticket.claim)
        if verdict.action == "end":
            try:
                return self._end(case, error, check)
            except DublineError as failure:  # the store is away, or the job is another's by now
                error = failure
                verdict = self._policy.verdict(failure, case.ticket.claim, can_end=False)
        return self._leave(case, error, verdict)

    def _leave(self, case: _Case, error: DublineError, verdict: Verdict) -> Outcome:
        """Go without a result: the job is tried again, here or elsewhere."""
        ticket = case.ticket
        traces.failed(error.code, error.message)
        if verdict.action == "stop":
            logger.warning("attempt %d stops: %s", ticket.number, error)
            self._put_log(case)
            return "lease lost"
        if isinstance(error, ConfigurationError):
            logger.error("this worker cannot run jobs [%s]: %s", error.code, error)
        failed = "attempt %d failed [%s]: %s; again in %.1f s"
        logger.warning(failed, ticket.number, error.code, error, verdict.delay_seconds)
        try:
            self._ledger.release(
                ticket.job_id,
                ticket.attempt_id,
                delay_seconds=verdict.delay_seconds,
                counts=verdict.counts,
                reason=error.code,
            )
        except BrokerUnavailable as away:
            logger.warning("the job is free when its lease ends: %s", away)
        if not isinstance(error, StoreUnavailable):
            self._put_log(case)
        return "released"

    def _end(self, case: _Case, error: DublineError | None, check: Callable[[], None]) -> Outcome:
        """Commit the job's end: a success, or a failure that is final. Raises what `Commit.put` and `check` raise."""
        if error:
            logger.warning("the job ends [%s]: %s", error.code, error)
            traces.failed(error.code, error.message)
        check()
        manifest = self._manifest(case.ticket, case.findings, error)
        log_key = self._put_log(case)
        logs = self._logs(case.ticket) if error else ()
        manifest = manifest.model_copy(update={"log_key": log_key, "logs": logs})
        self._commit.put(case.ticket.delivery, manifest, check)
        self._note_pace(case.ticket.seconds)
        return "committed"

    def _note_pace(self, seconds: float) -> None:
        """For estimates alone: the job has ended, whether or not this is noted."""
        try:
            self._pace.note(seconds)
        except DublineError as error:
            logger.warning("what the job took counts in no estimate: %s", error)

    def _manifest(self, ticket: Ticket, findings: Findings, error: DublineError | None) -> Manifest:
        seconds = ticket.seconds
        found = dict(findings) | ({"output": None} if error else {})
        return Manifest(
            status=_status(error),
            job_id=ticket.job_id,
            batch=ticket.delivery.batch,
            row=ticket.delivery.row.id,
            job=ticket.delivery.row.job.without_secrets(),
            attempt=Attempt(
                id=ticket.attempt_id,
                number=ticket.number,
                host=platform.node(),
                started=ticket.started,
                ended=ticket.started + timedelta(seconds=seconds),
            ),
            cost=Cost(
                seconds=round(seconds, 3),
                price_per_hour=self._settings.price_per_hour,
                currency=self._settings.currency,
                amount=round(seconds * self._settings.price_per_second, 6),
            ),
            error=ErrorRecord.of(error) if error else None,
            **found,
        )

    def _put_log(self, case: _Case) -> str | None:
        """The key of the attempt's log, or None where the store did not take it: no job fails for that."""
        key = keys.log(case.ticket.job_id, case.ticket.attempt_id)
        try:
            self._storage.put(key, case.log.jsonl(), "application/jsonl")
        except DublineError as error:
            logger.warning("the attempt's log is not kept: %s", error)
            return None
        return key

    def _logs(self, ticket: Ticket) -> tuple[str, ...]:
        """Keys of the logs that the job's attempts left, this one's the last."""
        try:
            listed = list(self._storage.list(keys.attempts(ticket.job_id)))
        except DublineError as error:
            logger.warning("the logs of earlier attempts are not named: %s", error)
            return ()
        own = keys.log(ticket.job_id, ticket.attempt_id)
        logs = [each for each in listed if each.key.endswith(own.rpartition("/")[2])]
        return tuple(each.key for each in sorted(logs, key=lambda each: (each.key == own, each.modified)))


def _status(error: DublineError | None) -> Literal["succeeded", "failed", "cancelled"]:
    if error is None:
        return "succeeded"
    return "cancelled" if isinstance(error, Cancelled) else "failed"


def _ours(error: Exception) -> DublineError:
    """The error itself, or the failure that a defect is."""
    if isinstance(error, DublineError):
        return error
    logger.error("the attempt met a defect", exc_info=error)
    return EngineFailed(f"{type(error).__name__}: {error}")
