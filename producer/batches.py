"""What lies in the store of a batch: its rows and its manifests."""

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from pydantic import ValidationError

from contract import keys
from contract.errors import ConfigurationError, InputNotFound, NotFound
from contract.job import Row
from contract.manifest import Manifest
from contract.storage import Storage

T = TypeVar("T")

BATCH_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
OWNED = "--"
"""Between the name of a key and what it calls its batch."""
THREADS = 24
MANIFEST_LIMIT = 2000
"""At most so many manifests are asked for one by one where a person waits."""
WINDOW = 1000
"""Rows in flight at a time, so that a large batch is never in memory whole."""


def owned(owner: str | None, name: str) -> str:
    """The whole name of a batch that a key of the HTTP API calls so; without an owner it is the name itself."""
    return f"{owner}{OWNED}{name}" if owner else name


def batch_rows(storage: Storage, batch: str) -> Iterator[Row]:
    """The rows of a batch in their order, streamed.

    Raises:
        NotFound: there is no such batch.
        ConfigurationError: another version of Dubline wrote it.
    """
    missing = f"there is no batch {batch!r}; `dubline status` lists them"
    if not BATCH_NAME.fullmatch(batch):  # the store would call the key wrong, and not missing
        raise NotFound(missing)
    try:
        for line in storage.lines(keys.rows(batch)):
            with of_this_version(f"batch {batch}"):
                row = Row.model_validate_json(line)
            yield row
    except InputNotFound as error:
        raise NotFound(missing) from error


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
    with of_this_version(f"the manifest of job {job}"):
        return Manifest.model_validate_json(body) if body is not None else None


@contextmanager
def of_this_version(what: str) -> Iterator[None]:
    """Read something that lies in the store.

    Raises:
        ConfigurationError: another version of Dubline wrote it.
    """
    try:
        yield
    except ValidationError as error:
        raise ConfigurationError(
            f"{what} was not written by this version of Dubline: {error.errors()[0]['msg']}"
        ) from error
