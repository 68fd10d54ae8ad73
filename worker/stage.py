"""Between the bucket and the scratch folder: inputs in, the video and its curves out."""

import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from contract import keys
from contract.errors import EmptyInput, InputChanged, InputForbidden, InputNotFound
from contract.job import Job, Source
from contract.manifest import Curves, InputRecord, OutputRecord
from contract.storage import Download, Storage
from worker.media.writer import EncodedFacts
from worker.progress import JobProgress

RECHECK_SECONDS = (1.0, 2.0)
"""Before an input that is not there, or not for us, is asked for once more: a copy or a grant may be that new."""


@dataclass(frozen=True)
class Staged:
    """One input on this machine's disk."""

    path: Path
    record: InputRecord


def stage_in(
    storage: Storage, job: Job, folder: Path, max_bytes: int, progress: JobProgress
) -> tuple[Staged, Staged]:
    """The job's video and audio as files of the folder, exactly as they were submitted.

    Raises:
        InputNotFound, InputForbidden, InputChanged, InputTooLarge, EmptyInput: nothing to retry.
        StoreUnavailable, ResourceExhausted: worth a retry.
    """
    video = _fetch(storage, job.video, folder / "video", max_bytes, progress)
    if job.audio == job.video:
        return video, video
    return video, _fetch(storage, job.audio, folder / "audio", max_bytes, progress)


def _fetch(storage: Storage, source: Source, path: Path, max_bytes: int, progress: JobProgress) -> Staged:
    got = _rechecked(
        lambda: storage.download(
            source.uri, path, etag=source.etag, max_bytes=max_bytes, advance=lambda _: progress.touch()
        ),
        progress,
    )
    if got.bytes == 0:
        raise EmptyInput(f"{source.uri} has no bytes; upload it again")
    if source.sha256 and got.sha256 != source.sha256:
        raise InputChanged(f"{source.uri} does not have the content that was submitted; submit it again")
    return Staged(path, InputRecord(uri=source.uri, bytes=got.bytes, sha256=got.sha256, etag=got.etag))


def _rechecked(download: Callable[[], Download], progress: JobProgress) -> Download:
    """What was read, at the second try if need be: a failed job is not tried again."""
    try:
        return download()
    except (InputNotFound, InputForbidden):
        time.sleep(random.uniform(*RECHECK_SECONDS))  # noqa: S311 - jitter, not a secret
    progress.touch()
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
