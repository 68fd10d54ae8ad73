"""Everything that is known of one job: what was asked for, where it stands, what each attempt at it left, and what to do."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

from contract import keys
from contract.errors import BrokerUnavailable, NotFound
from contract.job import Job, Row
from contract.ledger import STATE_OF, Ledger, Progress
from contract.manifest import Manifest
from contract.storage import Storage, StoredObject
from producer.batches import manifests, of_this_version
from producer.deliveries import DeliveryView, deliveries
from producer.names import find_batch, find_job, find_rows
from producer.status import RowState, state_of

TAIL_BYTES = 16 * 1024
"""So much of an attempt's log is read: its end."""
HISTORY = "manifest.json"
"""A result that was moved aside lies in its attempt's folder under this name."""


@dataclass(frozen=True)
class LogLine:
    """One line of an attempt's log."""

    time: str
    level: str
    message: str
    traceback: str = ""
    logger: str = ""


@dataclass(frozen=True)
class StoredFile:
    """One object of an attempt."""

    key: str
    bytes: int


@dataclass(frozen=True)
class AttemptView:
    """What one attempt left."""

    id: str
    outcome: str
    """The status of its manifest; `no result` where it has none: it was interrupted, or another one was faster."""
    number: int | None
    """From 1; None where only its manifest would tell. 0: no worker had a part in it."""
    host: str | None
    started: datetime | None
    ended: datetime | None
    requeued: bool
    """Its result was moved aside, to try again."""
    error: str | None
    """Code and message."""
    files: tuple[StoredFile, ...]
    log: tuple[LogLine, ...]
    """The last lines."""


@dataclass(frozen=True)
class JobView:
    """One job, at one moment."""

    id: str
    batch: str | None
    row: str | None
    state: RowState
    asked: Row | None
    """The row as it was submitted, where it was looked up by its name."""
    progress: Progress | None
    """What the ledger says; None where it knows nothing, or Redis is away."""
    live: bool
    """False: Redis is away."""
    manifest: Manifest | None
    attempts: tuple[AttemptView, ...]
    """In the order of time."""
    segments: int
    """Finished parts, for the attempt that goes on from them."""
    webhooks: tuple[DeliveryView, ...] = ()
    """Events of the row's ends, in the order of time."""

    @property
    def job(self) -> Job | None:
        """What was asked for; None where only a row of some batch tells."""
        if self.asked:
            return self.asked.job
        return self.manifest.job if self.manifest else None

    @property
    def advice(self) -> str | None:
        """What a person can do, where something is to be done."""
        if self.manifest is None or self.state == "done":
            return None
        again = f"`dubline requeue {self.batch or self.manifest.batch} {self.row or self.manifest.row}`"
        if self.state == "cancelled":
            return f"{again} renders it after all"
        if self.manifest.error and self.manifest.error.retryable:
            return f"not the input's fault: {again} tries it again"
        return f"put right what the message names, then {again}; a corrected file or CSV is submitted anew"

    def record(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "job": self.id,
            "batch": self.batch,
            "row": self.row,
            "state": self.state,
            "live": self.live,
            "request": self.job.without_secrets().model_dump(mode="json") if self.job else None,
            "priority": self.asked.priority if self.asked else None,
            "time_limit_seconds": self.asked.time_limit_seconds if self.asked else None,
            "progress": asdict(self.progress) if self.progress else None,
            "segments": self.segments,
            "advice": self.advice,
            "webhooks": [asdict(each) for each in self.webhooks],
            "attempts": [_plain(asdict(each)) for each in self.attempts],
            "manifest": self.manifest.model_dump(mode="json") if self.manifest else None,
        }


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()
    }


def show(storage: Storage, ledger: Ledger, name: str, row: str | None = None) -> JobView:
    """The job of a row of the batch `name`; without a row, the job whose id begins so.

    Raises:
        NotFound: there is no such batch, row or job, or several are called so.
    """
    if row is None:
        return _view(storage, ledger, _find_job(storage, name))
    batch = find_batch(storage, name)
    (found,) = find_rows(storage, batch, [row])
    return _view(storage, ledger, found.job.id, batch, found)


def _find_job(storage: Storage, text: str) -> str:
    try:
        return find_job(storage, text)
    except NotFound as error:
        if batch := _batch_called(storage, text):
            hint = f"`dubline status {batch}` lists them"
            raise NotFound(f"{batch} is a batch, and no job; name one of its rows, too: {hint}") from error
        raise


def _batch_called(storage: Storage, text: str) -> str | None:
    try:
        return find_batch(storage, text)
    except NotFound:
        return None


def _view(
    storage: Storage, ledger: Ledger, job: str, batch: str | None = None, asked: Row | None = None
) -> JobView:
    (manifest,) = manifests(storage, [job])
    attempts = tuple(_attempts(storage, job, manifest))
    try:
        (progress,), live = ledger.progress([job]), True
    except BrokerUnavailable:
        progress, live = None, False
    batch = batch or (manifest.batch if manifest else None)
    row = asked.id if asked else manifest.row if manifest else None
    return JobView(
        id=job,
        batch=batch,
        row=row,
        state=_state(manifest, progress),
        asked=asked,
        progress=progress,
        live=live,
        manifest=manifest,
        attempts=attempts,
        segments=sum(1 for _ in storage.list(keys.segments(job))),
        webhooks=tuple(deliveries(storage, batch, row)) if batch and row else (),
    )


def _state(manifest: Manifest | None, progress: Progress | None) -> RowState:
    if manifest:
        return STATE_OF[manifest.status]
    return state_of(progress) if progress else "waiting"


def _attempts(storage: Storage, job: str, manifest: Manifest | None) -> Iterator[AttemptView]:
    """Those that left something, and the one that the manifest names though it left nothing."""
    folder = keys.attempts(job)
    listed = groupby(storage.list(folder), key=lambda each: each.key.removeprefix(folder).partition("/")[0])
    seen = [(name, list(objects)) for name, objects in listed]
    seen.sort(key=lambda each: min(map(attrgetter("modified"), each[1])))
    for name, objects in seen:
        yield _attempt(storage, job, name, objects, manifest)
    if manifest and manifest.attempt.id not in {name for name, _ in seen}:
        yield _attempt(storage, job, manifest.attempt.id, (), manifest)


def _attempt(
    storage: Storage, job: str, name: str, objects: Sequence[StoredObject], standing: Manifest | None
) -> AttemptView:
    files = {each.key: each.bytes for each in objects}
    log = keys.log(job, name)
    history = keys.attempt(job, name, HISTORY)
    manifest = standing if standing and standing.attempt.id == name else None
    if manifest is None and history in files:
        manifest = _moved_aside(storage, history)
    run = manifest.attempt if manifest else None
    error = manifest.error if manifest else None
    return AttemptView(
        id=name,
        outcome=manifest.status if manifest else "no result",
        number=run.number if run else None,
        host=run.host if run else None,
        started=run.started if run else None,
        ended=run.ended if run else max(map(attrgetter("modified"), objects), default=None),
        requeued=history in files,
        error=f"[{error.code}] {error.message}" if error else None,
        files=tuple(StoredFile(key, size) for key, size in files.items()),
        log=tuple(_tail(storage, log, files[log])) if log in files else (),
    )


def _moved_aside(storage: Storage, key: str) -> Manifest | None:
    body = storage.get(key)
    with of_this_version(f"the object {key}"):
        return Manifest.model_validate_json(body) if body else None


def _tail(storage: Storage, key: str, size: int) -> Iterable[LogLine]:
    start = max(0, size - TAIL_BYTES)
    lines = list(storage.lines(key, start))
    return map(log_line, lines[1:] if start else lines)


def log_line(line: bytes) -> LogLine:
    """What a worker wrote; a line that is none of its own stays as it is."""
    text = line.decode(errors="replace")
    try:
        fields = json.loads(text)
        told = {name: fields.get(name, "") for name in ("time", "level", "traceback", "logger")}
        return LogLine(message=fields["message"], **told)
    except (ValueError, KeyError, AttributeError):
        return LogLine("", "", text)
