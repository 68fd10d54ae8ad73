"""The life of one delivery: claim, heartbeat, attempt, retry class, commit. Nothing about video."""

import logging
import platform
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from contract import keys
from contract.errors import (
    BrokerUnavailable,
    ConfigurationError,
    DublineError,
    EngineFailed,
    InputRejected,
    LeaseLost,
    StoreUnavailable,
    TemporaryFailure,
)
from contract.job import Delivery
from contract.ledger import STATE_OF, Counts, Ledger
from contract.manifest import (
    Attempt,
    Cost,
    EngineRecord,
    ErrorRecord,
    Frames,
    InputRecord,
    Manifest,
    OutputRecord,
    SyncCheck,
    WarningRecord,
)
from contract.outputs import publish_output
from contract.settings import Settings
from contract.storage import Storage
from worker.lease import Heartbeat
from worker.logs import about
from worker.progress import JobProgress

logger = logging.getLogger(__name__)

BACKOFF_SECONDS = 2.0
"""Full jitter below this, doubled with every attempt."""
MISCONFIGURED_SECONDS = 60.0
"""A worker that cannot run jobs hands them back, not to be offered again for this long."""

INFRASTRUCTURE = (StoreUnavailable, BrokerUnavailable)
"""Says nothing about the job, so it is not counted as an attempt at it."""

Outcome = Literal["committed", "already committed", "held elsewhere", "released", "lease lost"]


@dataclass(frozen=True)
class Ticket:
    """One attempt at one delivered row."""

    delivery: Delivery
    attempt_id: str
    number: int
    started: datetime

    @property
    def job_id(self) -> str:
        """The job that this is an attempt at."""
        return self.delivery.row.job.id


@dataclass
class Findings:
    """What an attempt learns on its way; all of it goes into the manifest, also when the attempt fails."""

    video: InputRecord | None = None
    audio: InputRecord | None = None
    output: OutputRecord | None = None
    engine: EngineRecord | None = None
    frames: Frames | None = None
    sync_check: SyncCheck | None = None
    warnings: tuple[WarningRecord, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    software: dict[str, str] = field(default_factory=dict)
    device: str | None = None


Perform = Callable[[Ticket, JobProgress, Findings], None]
"""Render the ticket's job and upload what it made, writing down findings; raises the errors of contract.errors."""


class JobRunner:
    """Runs deliveries one at a time. At-least-once in, exactly one committed manifest out."""

    def __init__(self, settings: Settings, storage: Storage, ledger: Ledger, perform: Perform) -> None:
        self._settings = settings
        self._storage = storage
        self._ledger = ledger
        self._perform = perform

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

    def _take(self, delivery: Delivery, delivery_tag: str) -> Outcome:
        job_id = delivery.row.job.id
        if committed := self._storage.get(keys.manifest(job_id)):
            self._announce(delivery, Manifest.model_validate_json(committed))
            return "already committed"
        attempt_id = secrets.token_hex(8)
        claim = self._ledger.claim(job_id, attempt_id, self._settings.lease_seconds)
        if claim.outcome in ("busy", "later", "cancelled"):
            return "held elsewhere"
        if claim.outcome == "ended":  # the ledger says so and S3 does not: S3 is right
            self._ledger.forget(job_id)
            return "released"
        ticket = Ticket(delivery, attempt_id, claim.number, datetime.now(UTC))
        return self._attempt(ticket, delivery_tag)

    def _attempt(self, ticket: Ticket, delivery_tag: str) -> Outcome:
        lease = self._settings.lease_seconds
        logger.info("attempt %d begins", ticket.number)
        try:
            with Heartbeat(self._ledger, ticket.job_id, ticket.attempt_id, lease, delivery_tag) as heart:
                manifest = self._result(ticket, heart.progress)
                heart.progress.enter("uploading")
                self._commit(ticket, manifest)
        except LeaseLost:
            return "lease lost"
        except ConfigurationError:
            logger.exception("this worker cannot run jobs")
            self._release(ticket, MISCONFIGURED_SECONDS, "none")
            return "released"
        except TemporaryFailure as error:
            delay = random.uniform(0, BACKOFF_SECONDS * 2**ticket.number)  # noqa: S311 - jitter, not a secret
            logger.warning(
                "attempt %d failed [%s]: %s; again in %.1f s", ticket.number, error.code, error, delay
            )
            self._release(ticket, delay, "infrastructure" if isinstance(error, INFRASTRUCTURE) else "job")
            return "released"
        except (SystemExit, KeyboardInterrupt):
            self._release(ticket, 0.0, "preempted")
            raise
        return "committed"

    def _result(self, ticket: Ticket, progress: JobProgress) -> Manifest:
        """The manifest to commit, of a success or of a failure that is final."""
        findings = Findings()
        try:
            if ticket.number > self._settings.attempts:
                raise EngineFailed(
                    f"{ticket.number - 1} attempts ended without a word: the job ends its workers"
                )
            self._perform(ticket, progress, findings)
        except InputRejected as error:
            logger.warning("rejected [%s]: %s", error.code, error)
            return self._manifest(ticket, findings, error)
        except TemporaryFailure as error:
            if ticket.number < self._settings.attempts or isinstance(error, INFRASTRUCTURE):
                raise
            return self._manifest(ticket, findings, error)
        except DublineError:
            raise
        except Exception as error:
            logger.exception("attempt %d met a defect", ticket.number)
            failure = EngineFailed(f"{type(error).__name__}: {error}")
            if ticket.number < self._settings.attempts:
                raise failure from error
            return self._manifest(ticket, findings, failure)
        return self._manifest(ticket, findings)

    def _manifest(self, ticket: Ticket, findings: Findings, error: DublineError | None = None) -> Manifest:
        ended = datetime.now(UTC)
        seconds = (ended - ticket.started).total_seconds()
        return Manifest(
            status="failed" if error else "succeeded",
            job_id=ticket.job_id,
            batch=ticket.delivery.batch,
            row=ticket.delivery.row.id,
            job=ticket.delivery.row.job,
            attempt=Attempt(
                id=ticket.attempt_id,
                number=ticket.number,
                host=platform.node(),
                started=ticket.started,
                ended=ended,
            ),
            cost=Cost(
                seconds=round(seconds, 3),
                price_per_hour=self._settings.price_per_hour,
                currency=self._settings.currency,
                amount=round(seconds * self._settings.price_per_second, 6),
            ),
            error=ErrorRecord.of(error) if error else None,
            **vars(findings),
        )

    def _commit(self, ticket: Ticket, manifest: Manifest) -> None:
        """Put the manifest if there is none; whichever stands there afterwards is the result."""
        body = manifest.model_dump_json(indent=1).encode()
        standing = Manifest.model_validate_json(
            self._storage.put_if_absent(keys.manifest(ticket.job_id), body)
        )
        if standing.attempt.id == ticket.attempt_id:
            seconds = (standing.attempt.ended - standing.attempt.started).total_seconds()
            logger.info("%s after %.1f s", standing.status, seconds)
        else:
            logger.warning("attempt %s committed first; this one's result is dropped", standing.attempt.id)
        self._announce(ticket.delivery, standing)

    def _announce(self, delivery: Delivery, manifest: Manifest) -> None:
        """Everything after the commit: copies and hints, which the feeder repairs where they fail."""
        try:
            publish_output(self._storage, delivery.batch, delivery.row.id, manifest)
            self._ledger.finish(manifest.job_id, STATE_OF[manifest.status])
        except DublineError as error:  # whatever it is, the result stands
            logger.warning("the result is committed, its announcement waits for the feeder: %s", error)

    def _release(self, ticket: Ticket, delay_seconds: float, counts: Counts) -> None:
        try:
            self._ledger.release(ticket.job_id, ticket.attempt_id, delay_seconds=delay_seconds, counts=counts)
        except BrokerUnavailable as error:
            logger.warning("the job is free when its lease ends: %s", error)
