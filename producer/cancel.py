"""A person does not want rows rendered any more: the wish goes into the store, those who hold them are told at once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from contract import keys
from contract.cancel import CancelRequest
from contract.errors import BrokerUnavailable, StoreUnavailable
from contract.ledger import ENDED, Ledger
from contract.storage import Storage
from producer.batches import of_this_version
from producer.names import find_rows
from producer.status import ACTIVE, BatchView

TRIES = 20
"""As often another wish may come between the reading and the writing of this one."""


@dataclass(frozen=True)
class Cancellation:
    """What became of a wish to cancel. Rows are counted as they stood when it was asked for."""

    batch: str
    running: int
    """They stop within seconds."""
    waiting: int
    """They are never begun."""
    ended: int
    """They have their result, and keep it."""
    told: bool
    """False: Redis is away; a running one goes on until the feeder reaches Redis again."""


def cancel_rows(storage: Storage, ledger: Ledger, batch: str, names: Collection[str] = ()) -> Cancellation:
    """Cancel rows of a batch, without names all of them. To do it twice is to do it once.

    A row whose pair another batch asks for too is cancelled there as well: it is the same job.

    Raises:
        NotFound: there is no such batch, or it has no row of one of the names; nothing was cancelled.
    """
    wanted = {row.id for row in find_rows(storage, batch, names)} if names else None
    rows = [
        row for row in BatchView(storage, ledger, batch).look().rows if wanted is None or row.id in wanted
    ]
    unended = [row for row in rows if row.state not in ENDED]
    told = True
    if unended:
        wish(storage, batch, None if wanted is None else [row.id for row in unended])
        told = _tell(ledger, [row.job for row in unended])
    running = sum(row.state in ACTIVE for row in unended)
    return Cancellation(batch, running, len(unended) - running, len(rows) - len(unended), told)


def wish(storage: Storage, batch: str, rows: Collection[str] | None) -> None:
    """Put the wish into the store, united with what was wished before; None: all rows."""
    key = keys.cancelled(batch)
    fresh = CancelRequest(rows=None if rows is None else tuple(sorted(set(rows))), asked=datetime.now(UTC))
    for _ in range(TRIES):
        found = storage.get_with_etag(key)
        if found is None:
            body = fresh.model_dump_json().encode()
            if storage.put_if_absent(key, body) == body:
                return
            continue
        with of_this_version(f"the wish to cancel rows of batch {batch}"):
            standing = CancelRequest.model_validate_json(found[0])
        united = standing.with_rows(rows)
        if united == standing or storage.replace_if_same(key, united.model_dump_json().encode(), found[1]):
            return
    raise StoreUnavailable(f"others kept changing what is to be cancelled of batch {batch}; try it again")


def _tell(ledger: Ledger, jobs: Sequence[str]) -> bool:
    """Flag the jobs for those who hold them; False while Redis is away."""
    try:
        ledger.cancel(list(dict.fromkeys(jobs)))
    except BrokerUnavailable:
        return False
    return True
