"""What is answered, as JSON. Clients follow `links`; they never build an address themselves."""

from typing import Any, Self
from urllib.parse import urlencode

from pydantic import BaseModel, Field

from contract.errors import BY_CODE, TemporaryFailure
from contract.job import JobOptions, Priority
from contract.manifest import Manifest, SyncCheck
from producer.api.lookup import Found, Standing
from producer.status import RowState, RowStatus

FINAL = ("done", "failed", "cancelled")


class ErrorAnswer(BaseModel):
    """Why there is no video."""

    code: str = Field(examples=["no_face"])
    message: str
    retryable: bool
    """It was not the input's fault: a retry may help."""


class RequestAnswer(BaseModel):
    """What was asked for."""

    video: str = Field(examples=["s3://dubline/inputs/9f86....mp4"])
    audio: str
    options: JobOptions
    priority: Priority | None = None
    """None: only the result is left, and it does not tell."""
    time_limit_seconds: float | None = None


class SyncAnswer(BaseModel):
    """Does the mouth move with the sound? A smoke alarm."""

    status: str
    correlation: float | None
    lag_frames: int | None
    reason: str | None

    @classmethod
    def of(cls, check: SyncCheck) -> Self:
        """What the manifest says."""
        return cls(
            status=check.status,
            correlation=check.correlation,
            lag_frames=check.lag_frames,
            reason=check.reason,
        )


class WarningAnswer(BaseModel):
    """Something a person should know about a result that was made all the same."""

    code: str
    message: str


class ResultAnswer(BaseModel):
    """The video that was made."""

    bytes: int
    sha256: str
    frames: int
    frames_without_face: int
    fps: str = Field(examples=["25/1"])
    duration_seconds: float
    width: int
    height: int
    engine: str | None
    device: str | None
    sync: SyncAnswer | None
    warnings: list[WarningAnswer]

    @classmethod
    def of(cls, manifest: Manifest) -> Self | None:
        """What the manifest says; None where no video was made."""
        made = manifest.output
        if made is None:
            return None
        return cls(
            bytes=made.bytes,
            sha256=made.sha256,
            frames=made.frames,
            frames_without_face=manifest.frames.without_face if manifest.frames else 0,
            fps=made.fps,
            duration_seconds=made.duration_seconds,
            width=made.width,
            height=made.height,
            engine=manifest.engine.name if manifest.engine else None,
            device=manifest.device,
            sync=SyncAnswer.of(manifest.sync_check) if manifest.sync_check else None,
            warnings=[WarningAnswer(code=each.code, message=each.message) for each in manifest.warnings],
        )


class CostAnswer(BaseModel):
    """What a worker's time cost."""

    amount: float
    currency: str
    seconds: float


class JobLinks(BaseModel):
    """Where to ask on. Those of files and events carry a token for an hour or two, where a key is needed."""

    self: str
    events: str
    log: str
    source: str
    audio: str
    cancel: str
    """To be sent DELETE."""
    retry: str
    """To be sent POST."""
    batch: str
    result: str | None = None
    """Redirects to the store. This and the next two: where there is a video."""
    stream: str | None = None
    """The same video from here, in ranges."""
    curves: str | None = None
    manifest: str | None = None
    """Where it has ended."""


class JobAnswer(BaseModel):
    """One job, at one moment."""

    id: str
    batch: str
    row: str
    state: RowState
    live: bool
    """False: Redis is away; only what has ended is known."""
    frames: int
    """Done so far; of `total` where that is known."""
    total: int
    fps: float
    eta_seconds: float | None
    attempts: int
    later_seconds: float | None
    """In how long it is tried again."""
    error: ErrorAnswer | None
    """Of a job that failed or was cancelled; of one that waits to be tried again, why."""
    request: RequestAnswer
    result: ResultAnswer | None
    cost: CostAnswer | None
    links: JobLinks


class RowLinks(BaseModel):
    """Where to ask on."""

    self: str
    events: str
    stream: str | None
    result: str | None


class RowAnswer(BaseModel):
    """One row of a batch, at one moment."""

    id: str
    """Of the job."""
    row: str
    state: RowState
    frames: int
    total: int
    fps: float
    eta_seconds: float | None
    error: str | None
    """The code of it."""
    attempts: int
    later_seconds: float | None
    links: RowLinks


class TotalsAnswer(BaseModel):
    """What a batch has come to so far."""

    done: int
    failed: int
    cancelled: int
    minutes: float
    """Of video, of rows that are done."""
    cost: float
    """Of jobs that this batch was the first to ask for."""
    currency: str


class BatchLinks(BaseModel):
    """Where to ask on."""

    self: str
    cancel: str
    """To be sent DELETE."""
    retry: str
    """To be sent POST: failed and cancelled rows are rendered after all."""


class FirstAnswer(BaseModel):
    """The first row of a batch: of a job that was submitted alone, the only one."""

    id: str
    """Of the job."""
    row: str


class BatchHead(BaseModel):
    """A batch in one line."""

    id: str
    name: str
    """What its owner calls it."""
    first: FirstAnswer | None
    created: str | None
    """When it was submitted, in UTC."""
    rows: int
    ended: bool
    counts: dict[RowState, int] = Field(examples=[{"generating": 1, "done": 41}])
    totals: TotalsAnswer
    links: BatchLinks


class BatchesAnswer(BaseModel):
    """Batches, the newest first."""

    batches: list[BatchHead]
    total: int
    next: str | None
    """Where the next ones are."""


class BatchAnswer(BatchHead):
    """A batch and some of its rows."""

    live: bool
    items: list[RowAnswer]
    matching: int
    """Rows as they were asked for, on all pages."""
    next: str | None
    """Where the next of them are."""


class SubmittedAnswer(BaseModel):
    """A batch that was submitted."""

    id: str
    name: str
    rows: int
    already: bool
    """The same rows were submitted before under this name: nothing is repeated."""
    skipped: list[dict[str, Any]]
    """Rows with faults, each with `line`, `code` and `message`."""
    links: BatchLinks


class CancelledAnswer(BaseModel):
    """What became of the wish to cancel a batch."""

    id: str
    running: int
    """They stop within seconds."""
    waiting: int
    ended: int
    told: bool
    """False: Redis is away; what runs goes on until it is back."""


class RetriedAnswer(BaseModel):
    """Rows that are rendered after all."""

    id: str
    requeued: list[str]


class UploadAnswer(BaseModel):
    """Where a client puts a file itself, and what it calls it afterwards."""

    reference: str
    """For `video` or `audio` of POST /jobs and POST /batches, when the file is there."""
    method: str = "PUT"
    url: str
    headers: dict[str, str]
    """To be sent as they are."""
    expires_seconds: int


def tokens(address: str, token: str | None, **query: str) -> str:
    """An address with its query."""
    given = {**query, **({"token": token} if token else {})}
    return f"{address}?{urlencode(given)}" if given else address


def job_links(found: Found, token: str | None, *, has_ended: bool, has_video: bool) -> JobLinks:
    """The addresses of a job."""
    base, where = f"/jobs/{found.id}", {"batch": found.batch}
    return JobLinks(
        self=tokens(base, None, **where),
        events=tokens(f"{base}/events", token, **where),
        log=tokens(f"{base}/log", None, **where),
        source=tokens(f"{base}/source", token, **where),
        audio=tokens(f"{base}/audio", token, **where),
        cancel=tokens(base, None, **where),
        retry=tokens(f"{base}/retry", None, **where),
        batch=f"/batches/{found.batch}",
        result=tokens(f"{base}/result", token, **where) if has_video else None,
        stream=tokens(f"{base}/result", token, **where, stream="1") if has_video else None,
        curves=tokens(f"{base}/curves", None, **where) if has_video else None,
        manifest=tokens(f"{base}/manifest", None, **where) if has_ended else None,
    )


def job_answer(found: Found, standing: Standing, token: str | None) -> JobAnswer:
    """A job as it stands."""
    manifest, row = standing.manifest, standing.row
    return JobAnswer(
        id=found.id,
        batch=found.batch,
        row=found.row,
        state=row.state,
        live=standing.live,
        frames=row.frames,
        total=row.total,
        fps=row.fps,
        eta_seconds=row.eta_seconds,
        attempts=row.attempts,
        later_seconds=row.later_seconds,
        error=_error(row, manifest),
        request=RequestAnswer(
            video=found.job.video.shown,
            audio=found.job.audio.shown,
            options=found.job.options,
            priority=found.priority,
            time_limit_seconds=found.time_limit_seconds,
        ),
        result=ResultAnswer.of(manifest) if manifest else None,
        cost=CostAnswer(**manifest.cost.model_dump(exclude={"price_per_hour"}))
        if manifest and manifest.cost
        else None,
        links=job_links(found, token, has_ended=manifest is not None, has_video=row.state == "done"),
    )


def _error(row: RowStatus, manifest: Manifest | None) -> ErrorAnswer | None:
    if manifest and manifest.error:
        return ErrorAnswer(**manifest.error.model_dump())
    if row.error is None:
        return None
    known = BY_CODE.get(row.error, TemporaryFailure)
    return ErrorAnswer(code=row.error, message=known.__doc__ or row.error, retryable=known.retryable)


def row_answer(batch: str, row: RowStatus, token: str | None) -> RowAnswer:
    """A row as it stands."""
    base, where, has_video = f"/jobs/{row.job}", {"batch": batch}, row.state == "done"
    return RowAnswer(
        id=row.job,
        row=row.id,
        state=row.state,
        frames=row.frames,
        total=row.total,
        fps=row.fps,
        eta_seconds=row.eta_seconds,
        error=row.error,
        attempts=row.attempts,
        later_seconds=row.later_seconds,
        links=RowLinks(
            self=tokens(base, None, **where),
            events=tokens(f"{base}/events", token, **where),
            stream=tokens(f"{base}/result", token, **where, stream="1") if has_video else None,
            result=tokens(f"{base}/result", token, **where) if has_video else None,
        ),
    )


def batch_links(batch: str) -> BatchLinks:
    """The addresses of a batch."""
    base = f"/batches/{batch}"
    return BatchLinks(self=base, cancel=base, retry=f"{base}/retry")
