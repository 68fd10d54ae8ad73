"""What lies in the store of a batch: its rows and its manifests."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from pydantic import ValidationError

from contract import keys
from contract.errors import ConfigurationError, InputNotFound, NotFound
from contract.job import Row
from contract.manifest import Manifest
from contract.storage import Storage

T = TypeVar("T")

THREADS = 24
WINDOW = 1000
"""Rows in flight at a time, so that a large batch is never in memory whole."""


def batch_rows(storage: Storage, batch: str) -> Iterator[Row]:
    """The rows of a batch in their order, streamed.

    Raises:
        NotFound: there is no such batch.
        ConfigurationError: another version of Dubline wrote it.
    """
    try:
        for line in storage.lines(keys.rows(batch)):
            yield Row.model_validate_json(line)
    except InputNotFound as error:
        raise NotFound(f"there is no batch {batch!r}; `dubline status` lists them") from error
    except ValidationError as error:
        raise ConfigurationError(
            f"batch {batch} was not written by this version of Dubline: {error.errors()[0]['msg']}"
        ) from error


def manifests(storage: Storage, jobs: Iterable[str]) -> Iterator[Manifest | None]:
    """The manifest of each job, in the same order; None for those that have not ended."""
    with ThreadPoolExecutor(THREADS) as pool:
        for window in windows(jobs):
            yield from pool.map(lambda job: _manifest(storage, job), window)


def windows(items: Iterable[T]) -> Iterator[list[T]]:
    """The items in lists of `WINDOW`."""
    remaining = iter(items)
    while window := list(islice(remaining, WINDOW)):
        yield window


def _manifest(storage: Storage, job: str) -> Manifest | None:
    body = storage.get(keys.manifest(job))
    try:
        return Manifest.model_validate_json(body) if body is not None else None
    except ValidationError as error:
        raise ConfigurationError(
            f"the manifest of job {job} was not written by this version of Dubline: {error.errors()[0]['msg']}"
        ) from error
