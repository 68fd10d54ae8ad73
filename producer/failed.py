"""The rows of a batch that failed: why, after how many attempts, and where these left their logs."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from contract import keys
from contract.deadletter import DeadLetter
from contract.manifest import ErrorRecord, Manifest
from contract.storage import Storage
from producer.batches import manifests, of_this_version, windows

THREADS = 16


@dataclass(frozen=True)
class FailedRow:
    """One row that failed for good."""

    row: str
    job: str
    code: str
    message: str
    retryable: bool
    """It was not the input's fault: trying again may help."""
    attempts: int
    """Until it was given up."""
    logs: tuple[str, ...]
    """Keys of the attempts' logs in the bucket."""


def failed_rows(storage: Storage, batch: str) -> Iterator[FailedRow]:
    """From the index of failures, in the order of their names; each was looked up in its manifest, which is the truth.

    A row that failed this second may not be in the index yet; the feeder brings that into order.
    """
    prefix = keys.dead(batch)
    names = (each.key.removeprefix(prefix) for each in storage.list(prefix))
    with ThreadPoolExecutor(THREADS) as pool:
        for some in windows(names):
            read = pool.map(lambda row: _letter(storage, batch, row), some)
            letters = [(row, letter) for row, letter in zip(some, read, strict=True) if letter]
            found = manifests(storage, [letter.job for _, letter in letters])
            for (row, _), manifest in zip(letters, found, strict=True):
                if manifest and manifest.error and manifest.status == "failed":
                    yield _failed(row, manifest, manifest.error)


def _letter(storage: Storage, batch: str, row: str) -> DeadLetter | None:
    body = storage.get(keys.dead(batch, row))
    with of_this_version(f"the note on failed row {row} of batch {batch}"):
        return DeadLetter.model_validate_json(body) if body else None


def _failed(row: str, manifest: Manifest, error: ErrorRecord) -> FailedRow:
    return FailedRow(
        row=row,
        job=manifest.job_id,
        code=error.code,
        message=error.message,
        retryable=error.retryable,
        attempts=manifest.attempt.number,
        logs=manifest.logs,
    )
