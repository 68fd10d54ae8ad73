"""Between the bucket, or the outside, and the scratch folder: inputs in, the video and its curves out."""

import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from contract import keys
from contract.errors import EmptyInput, InputChanged, InputForbidden, InputNotFound
from contract.job import Job, Source
from contract.manifest import Curves, InputRecord, OutputRecord
from contract.outside import Outside
from contract.settings import Settings
from contract.storage import Advance, Download, Storage
from contract.weburl import Reach, is_web
from worker.media.writer import EncodedFacts
from worker.progress import JobProgress

RECHECK_SECONDS = (1.0, 2.0)
"""Before an input that is not there, or not for us, is asked for once more: a copy or a grant may be that new."""


@dataclass(frozen=True)
class Staged:
    """One input on this machine's disk."""

    path: Path
    record: InputRecord


@dataclass(frozen=True)
class Inlet:
    """Where inputs come from, and how much of them."""

    storage: Storage
    outside: Outside
    max_bytes: int
    url_seconds: float

    @classmethod
    def of(cls, settings: Settings, storage: Storage) -> Self:
        """As the settings allow."""
        outside = Outside(Reach(http=settings.allow_http))
        return cls(storage, outside, settings.max_input_bytes, settings.url_seconds)

    def stage_in(self, job: Job, folder: Path, progress: JobProgress) -> tuple[Staged, Staged]:
        """The job's video and audio as files of the folder, exactly as they were submitted.

        Raises:
            InputNotFound, InputForbidden, InputChanged, InputTooLarge, EmptyInput, UrlForbidden,
            SourceUnsupported: nothing to retry.
            StoreUnavailable, SourceUnavailable, ResourceExhausted: worth a retry.
        """
        video = self._stage(job.video, folder / "video", progress)
        if job.audio == job.video:
            return video, video
        return video, self._stage(job.audio, folder / "audio", progress)

    def _stage(self, source: Source, path: Path, progress: JobProgress) -> Staged:
        bring = self._fetch if is_web(source.uri) else self._download
        record = bring(source, path, lambda _: progress.touch())
        if record.bytes == 0:
            raise EmptyInput(f"{source.shown} has no bytes; upload it again")
        if source.sha256 and record.sha256 != source.sha256:
            raise InputChanged(
                f"{source.shown} does not have the content that was submitted; submit it again"
            )
        return Staged(path, record)

    def _download(self, source: Source, path: Path, advance: Advance) -> InputRecord:
        got = _rechecked(
            lambda: self.storage.download(
                source.uri, path, etag=source.etag, max_bytes=self.max_bytes, advance=advance
            ),
            lambda: advance(0),
        )
        return InputRecord(uri=source.uri, bytes=got.bytes, sha256=got.sha256, etag=got.etag)

    def _fetch(self, source: Source, path: Path, advance: Advance) -> InputRecord:
        got = self.outside.fetch(
            source.uri, path, max_bytes=self.max_bytes, seconds=self.url_seconds, advance=advance
        )
        return InputRecord(uri=source.shown, bytes=got.bytes, sha256=got.sha256)


def _rechecked(download: Callable[[], Download], touch: Callable[[], None]) -> Download:
    """What was read, at the second try if need be: a failed job is not tried again."""
    try:
        return download()
    except (InputNotFound, InputForbidden):
        time.sleep(random.uniform(*RECHECK_SECONDS))  # noqa: S311 - jitter, not a secret
    touch()
    return download()


def stage_out(
    storage: Storage,
    job_id: str,
    attempt: str,
    video: Path,
    encoded: EncodedFacts,
    curves: Curves,
    progress: JobProgress,
) -> tuple[OutputRecord, str]:
    """Upload what the attempt made. Returns the video's record and the key of its curves.

    Raises:
        StoreUnavailable: worth a retry.
    """
    key = keys.attempt(job_id, attempt, "video.mp4")
    curves_key = keys.attempt(job_id, attempt, "curves.json")
    storage.upload(video, key, encoded.sha256, "video/mp4", advance=lambda _: progress.touch())
    storage.put(curves_key, curves.model_dump_json().encode())
    return OutputRecord(key=key, **asdict(encoded)), curves_key
