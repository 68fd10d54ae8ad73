"""Rows that failed or were cancelled are rendered after all: their results are moved aside, and feeders see rows without one.

There is no moment at which a job has two results. Whatever dies in between, doing it again completes it.
"""

import json
import secrets
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

from contract import keys
from contract.cancel import CancelRequest
from contract.job import Row
from contract.ledger import Ledger
from contract.manifest import Manifest
from contract.storage import Storage
from producer.batches import batch_rows, manifests, of_this_version, windows
from producer.names import find_rows
from producer.status import ACTIVE

THREADS = 16


@dataclass
class Requeue:
    """What became of the wish to render rows after all."""

    batch: str
    requeued: list[str] = field(default_factory=list)
    """Names of the rows, in the order of the batch."""
    succeeded: int = 0
    """Named, and they have their video: `submit --force` renders such a row anew."""
    unended: int = 0
    """They have no result that could be moved aside."""
    wanted_again: bool = False
    """There was a wish to cancel some of them, and it was taken back."""


def requeue_rows(
    storage: Storage, ledger: Ledger, batch: str, names: Collection[str] = (), code: str | None = None
) -> Requeue:
    """Have failed and cancelled rows rendered after all: all of them, those named, those with that code of error.

    Attempts are counted from the start again. A wish to cancel these rows is taken back; without names and code, any.

    Raises:
        NotFound: there is no such batch, or it has no row of one of the names; nothing was requeued.
    """
    done = Requeue(batch)
    rows = iter(find_rows(storage, batch, names)) if names else _without_video(storage, batch)
    if code is None:  # before anything is looked at: else a feeder would cancel what was found waiting
        done.wanted_again = _take_back(storage, batch, set(names) or None)
    with ThreadPoolExecutor(THREADS) as pool:
        for some in windows(rows):
            found = list(zip(some, manifests(storage, [row.job.id for row in some]), strict=True))
            due = [row for row, manifest in found if manifest and _is_due(manifest, code)]
            if code and due:
                done.wanted_again |= _take_back(storage, batch, {row.id for row in due})
            list(pool.map(lambda row: _move_aside(storage, ledger, batch, row), due))
            pending = [row for row, manifest in found if manifest is None]
            _unflag(ledger, pending if code is None else [])
            done.requeued += [row.id for row in due]
            done.unended += len(pending)
            done.succeeded += sum(bool(manifest and manifest.status == "succeeded") for _, manifest in found)
    if done.requeued or done.unended:
        _reopen(storage, batch)
    return done


def _without_video(storage: Storage, batch: str) -> Iterator[Row]:
    """Those whose video does not lie under the batch's name: a thousand are listed in the time of one question."""
    shown = {each.key for each in storage.list(f"{keys.OUTPUTS}{batch}/")}
    return (row for row in batch_rows(storage, batch) if keys.output(batch, row.id, ".json") not in shown)


def _is_due(manifest: Manifest, code: str | None) -> bool:
    if manifest.status == "succeeded":
        return False
    return code is None or code == (manifest.error.code if manifest.error else manifest.status)


def _take_back(storage: Storage, batch: str, names: Collection[str] | None) -> bool:
    """Take rows out of the wish to cancel, None: all; whether there was such a wish."""
    key = keys.cancelled(batch)
    while found := storage.get_with_etag(key):
        with of_this_version(f"the wish to cancel rows of batch {batch}"):
            wish = CancelRequest.model_validate_json(found[0])
        covered = {row.id for row in batch_rows(storage, batch)} if wish.rows is None else set(wish.rows)
        left = covered - set(names) if names else set()
        if left == covered:
            return False
        body = wish.model_copy(update={"rows": tuple(sorted(left))}).model_dump_json().encode()
        etag = found[1]
        if storage.replace_if_same(key, body, etag) if left else storage.delete_if_same(key, etag):
            return True
    return False


def _move_aside(storage: Storage, ledger: Ledger, batch: str, row: Row) -> None:
    """The result becomes history of its attempt: it is copied there, then deleted if it is still the same."""
    key = keys.manifest(row.job.id)
    if found := storage.get_with_etag(key):
        manifest = Manifest.model_validate_json(found[0])
        if manifest.status == "succeeded":  # another one requeued it, and it went well
            return
        storage.put(keys.attempt(row.job.id, manifest.attempt.id, "manifest.json"), found[0])
        if not storage.delete_if_same(key, found[1]):
            return
    storage.delete(keys.dead(batch, row.id))
    ledger.forget(row.job.id)


def _unflag(ledger: Ledger, rows: Sequence[Row]) -> None:
    """Have the ledger forget that rows were to be cancelled, where no worker has been told so by now."""
    jobs = list(dict.fromkeys(row.job.id for row in rows))
    for job, progress in zip(jobs, ledger.progress(jobs), strict=True):
        if progress and progress.cancelling and progress.state not in ACTIVE:
            ledger.forget(job)


def _reopen(storage: Storage, batch: str) -> None:
    """Have feeders read the batch from its start again; in this order, so that none closes it over what they counted."""
    mark = {"schema_version": 1, "asked": datetime.now(UTC).isoformat(), "token": secrets.token_hex(8)}
    storage.put(keys.requeued(batch), json.dumps(mark).encode())
    storage.delete(keys.summary(batch))
