"""What was made, from what, by what, how well and at what cost; or why not."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from contract.errors import DublineError
from contract.figures import Figures
from contract.job import Boundary, Job, Sha256


class MediaFacts(Boundary):
    """What the probe saw. Sizes in pixels as shown (rotated, square pixels), durations in seconds."""

    container: str
    video_codec: str | None = None
    width: int | None = None
    height: int | None = None
    fps: str | None = None
    """Average frame rate as a fraction, "30000/1001"."""
    audio_codec: str | None = None
    sample_rate: int | None = None
    channels: int | None = None
    duration_seconds: float | None = None
    """As decoded where it was decoded, else as declared."""


class InputRecord(Boundary):
    """One input as it was read."""

    uri: str
    """Of a URL without its query, which may be a secret."""
    bytes: int
    sha256: Sha256
    etag: str | None = None
    facts: MediaFacts | None = None


class OutputRecord(Boundary):
    """One file that the attempt made."""

    key: str
    bytes: int
    sha256: Sha256
    frames: int
    fps: str
    duration_seconds: float
    width: int
    height: int
    encoder: str | None = None
    """What encoded the pictures: x264 or nvenc."""
    video_codec: str
    audio_codec: str


class WeightRecord(Boundary):
    """One file of weights that took part."""

    name: str
    sha256: Sha256


class EngineRecord(Boundary):
    """What drew the mouths."""

    name: str
    weights: tuple[WeightRecord, ...]


class Attempt(Boundary):
    """The run that made this result."""

    id: str
    number: int
    host: str
    started: datetime
    ended: datetime


class Frames(Boundary):
    """Frames of the output: those whose mouth was redrawn and those that passed through."""

    total: int
    with_face: int
    without_face: int
    prepared: int = 0
    """Source frames that this attempt had the engine prepare ..."""
    reused: int = 0
    """... and those that an earlier job with the same source had left prepared."""
    resumed: int = 0
    """Frames of the output that an earlier attempt at this job had finished."""


class SyncCheck(Boundary):
    """Lip aperture of the finished video against the loudness of its audio: a smoke alarm, not LSE.

    `correlation` is the best Pearson correlation within +-200 ms and `lag_frames` where it lies (positive:
    the lips are late). `shifted_correlation` is the mean of the same best correlation over 200 circular
    shifts of the audio and `z_score` how many of their standard deviations the true one lies above it.
    """

    status: Literal["ok", "unavailable"]
    reason: str | None = None
    frames: int = 0
    correlation: float | None = None
    lag_frames: int | None = None
    shifted_correlation: float | None = None
    z_score: float | None = None
    curves_key: str | None = None
    """`Curves` as JSON, beside the video."""


class Curves(Boundary):
    """What the sync check compared, one value a frame of the output."""

    fps: int
    aperture: tuple[float | None, ...]
    """Gap between the inner lips over the face's height; null where no face was seen."""
    loudness: tuple[float, ...]
    """Decibels, bounded below."""


class WarningRecord(Boundary):
    """Something a person should know about a result that was made all the same."""

    code: str
    message: str


class Cost(Boundary):
    """Worker seconds times the configured price."""

    seconds: float
    price_per_hour: float
    currency: str
    amount: float


class ErrorRecord(Boundary):
    """Why there is no output."""

    code: str
    message: str
    retryable: bool

    @classmethod
    def of(cls, error: DublineError) -> "ErrorRecord":
        """The record of an error of ours."""
        return cls(code=error.code, message=error.message, retryable=error.retryable)


class Findings(BaseModel):
    """What an attempt learns on its way; all of it goes into the manifest, also when the attempt fails."""

    model_config = ConfigDict(extra="forbid")

    video: InputRecord | None = None
    audio: InputRecord | None = None
    output: OutputRecord | None = None
    engine: EngineRecord | None = None
    frames: Frames | None = None
    sync_check: SyncCheck | None = None
    evaluation: Figures | None = Field(default=None, exclude_if=lambda figures: figures is None)
    """Where the row asked for it (`evaluate`); left out where there is none."""
    warnings: tuple[WarningRecord, ...] = ()
    timings: dict[str, float] = Field(default_factory=dict)
    """Seconds per stage; the stages of one stream overlap, so their sum may exceed the wall clock."""
    software: dict[str, str] = Field(default_factory=dict)
    device: str | None = None


class _Heading(Boundary):
    """What a manifest begins with: what became of which job."""

    schema_version: Literal[1] = 1
    status: Literal["succeeded", "failed", "cancelled"]
    job_id: str
    batch: str
    row: str
    job: Job
    """Without the queries of URLs: `job_id` is the id of the job as it was asked for."""
    attempt: Attempt
    error: ErrorRecord | None = None
    log_key: str | None = None
    """What the attempt said, one JSON object a line."""
    logs: tuple[str, ...] = ()
    """Of a failure: the logs of all attempts that left one."""
    cost: Cost | None = None


class Manifest(Findings, _Heading):
    """`jobs/<job>/manifest.json`: the commit. Exactly one exists for every ended job."""

    model_config = ConfigDict(frozen=True)
