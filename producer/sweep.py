"""What nobody needs any more: files of attempts that lost, parts of jobs that have ended, uploads that were never completed.

Everything is swept by age, and nothing that a manifest names ever is. Any number may sweep at a time.
"""

import json
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, groupby, islice
from typing import Self

from contract import keys
from contract.storage import DELETE_KEYS, Storage, StoredObject

UNENDED_AGE = timedelta(days=14)
"""Younger files of a job without a manifest stay, whatever is asked: an attempt may yet name them."""
PASSING = ("selftest/", keys.ARRIVING, keys.REPEATS)
"""What is of use for a short while: races of the store's self-test, uploads on their way through the API, and what it answered."""
SLICE_JOBS = 1000
"""Jobs that a feeder looks at in one go."""


@dataclass(frozen=True)
class Swept:
    """What was removed, or would be."""

    objects: int = 0
    bytes: int = 0
    uploads: int = 0
    """Unfinished uploads in parts."""

    def __add__(self, other: Self) -> "Swept":
        return Swept(self.objects + other.objects, self.bytes + other.bytes, self.uploads + other.uploads)


@dataclass(frozen=True)
class _Limits:
    """What was written before these moments is old: in a job that has ended, and in one that has not."""

    ended: datetime
    unended: datetime

    @classmethod
    def at(cls, now: datetime, older_than: timedelta) -> Self:
        return cls(now - older_than, now - max(older_than, UNENDED_AGE))


def sweep(
    storage: Storage, older_than: timedelta, dry_run: bool = False, *, now: datetime | None = None
) -> Swept:
    """Remove what is older than that and that no manifest needs; a dry run only counts it.

    Of a job with a manifest that is every attempt but the one that made it, and its segments; the logs of attempts at
    a job that did not succeed stay. Of a job without one, everything, once it has lain untouched for 14 days at least.
    """
    limits = _Limits.at(now or datetime.now(UTC), older_than)
    found = (_of_job(storage, each, limits) for each in _by_job(storage.list(keys.JOBS)))
    return _remove(storage, chain.from_iterable(found), dry_run) + _sweep_rest(storage, limits, dry_run)


class Sweeper:
    """Sweeps a slice of the jobs at a time, and goes on from there the next time.

    It begins anywhere, so that the last jobs have their turn also where feeders never live long.
    """

    def __init__(self, storage: Storage, older_than: timedelta) -> None:
        self._storage = storage
        self._older_than = older_than
        self._after = keys.JOBS + secrets.token_hex(2)

    def sweep_some(self) -> Swept:
        """Remove what `sweep` would of the next jobs; after the last of them the rest, and the next call begins anew."""
        limits = _Limits.at(datetime.now(UTC), self._older_than)
        jobs = list(islice(_by_job(self._storage.list(keys.JOBS, self._after)), SLICE_JOBS))
        found = (_of_job(self._storage, each, limits) for each in jobs)
        swept = _remove(self._storage, chain.from_iterable(found), dry_run=False)
        if len(jobs) == SLICE_JOBS:
            self._after = jobs[-1][-1].key
            return swept
        self._after = ""
        return swept + _sweep_rest(self._storage, limits, dry_run=False)


def _by_job(found: Iterable[StoredObject]) -> Iterator[list[StoredObject]]:
    """The objects of one job after the other: a listing is in the order of keys."""
    for _, objects in groupby(found, key=lambda each: _job(each.key)):
        yield list(objects)


def _job(key: str) -> str:
    return key.removeprefix(keys.JOBS).partition("/")[0]


def _of_job(storage: Storage, objects: list[StoredObject], limits: _Limits) -> list[StoredObject]:
    """What may go of one job."""
    job = _job(objects[0].key)
    old = [each for each in objects if each.modified < limits.ended and each.key != keys.manifest(job)]
    # read, and not looked for in the listing: it may have been committed since
    if old and (manifest := storage.get(keys.manifest(job))):
        return [each for each in old if not _is_needed(each.key, job, manifest)]
    is_given_up = max(each.modified for each in objects) < limits.unended
    return old if is_given_up else []


def _is_needed(key: str, job: str, manifest: bytes) -> bool:
    """Whether the file belongs to the attempt that made the result, or tells why there is none."""
    if key.startswith(keys.segments(job)):
        return False
    attempt = key.removeprefix(keys.attempts(job)).partition("/")[0]
    is_named = f'"{attempt}"'.encode() in manifest or keys.attempt(job, attempt, "").encode() in manifest
    is_told = key == keys.log(job, attempt) and json.loads(manifest).get("status") != "succeeded"
    return is_named or is_told


def _sweep_rest(storage: Storage, limits: _Limits, dry_run: bool) -> Swept:
    uploads = [
        each
        for prefix in (keys.JOBS, keys.INPUTS, keys.PREPARED)
        for each in storage.list_uploads(prefix)
        if each.started < limits.ended
    ]
    if not dry_run:
        for each in uploads:
            storage.abort_upload(each)
    left = (each for prefix in PASSING for each in storage.list(prefix) if each.modified < limits.ended)
    return _remove(storage, left, dry_run) + Swept(uploads=len(uploads))


def _remove(storage: Storage, found: Iterable[StoredObject], dry_run: bool) -> Swept:
    """The sum of these objects, which are gone now unless it is a dry run."""
    remaining, swept = iter(found), Swept()
    while some := list(islice(remaining, DELETE_KEYS)):
        if not dry_run:
            storage.delete_all(each.key for each in some)
        swept += Swept(len(some), sum(each.bytes for each in some))
    return swept
