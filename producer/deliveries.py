"""How far the events of a batch are on their way to webhooks, for people who look on."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args

from contract import keys
from contract.storage import Storage
from contract.webhook import DeliveryState, WebhookDelivery
from producer.batches import MANIFEST_LIMIT, THREADS, of_this_version


@dataclass(frozen=True)
class DeliveryView:
    """One event, at one moment. Of large batches only the state is known of most."""

    id: str
    row: str | None
    """None: the batch's own."""
    state: DeliveryState
    type: str = ""
    url: str = ""
    """Without its query."""
    tries: int = 0
    last: str | None = None
    """What the last try brought: a status of HTTP, or why there was none."""
    last_at: str | None = None
    next_seconds: float | None = None
    """In how long it is tried again."""


def deliveries(storage: Storage, batch: str, row: str | None = None) -> list[DeliveryView]:
    """The events of a batch, or of one of its rows; of a row that ended several times the last one comes last.

    The first `MANIFEST_LIMIT` are read, pending and failed ones before the others.
    """
    found = list(_listed(storage, batch, row))
    order = {"pending": 0, "failed": 1, "delivered": 2}
    found.sort(key=lambda each: order[each.state])
    with ThreadPoolExecutor(THREADS) as pool:
        read = list(pool.map(lambda each: _read(storage, each), found[:MANIFEST_LIMIT]))
    dated = [each for each in read if each] + [(each.modified, each.bare) for each in found[MANIFEST_LIMIT:]]
    return [view for _, view in sorted(dated, key=lambda each: each[0])]


def last_of_rows(views: Sequence[DeliveryView]) -> dict[str | None, DeliveryView]:
    """By row, the event of its last end; None: the batch's own."""
    return {each.row: each for each in views}


@dataclass(frozen=True)
class _Listed:
    key: str
    state: DeliveryState
    modified: datetime
    row: str | None
    id: str

    @property
    def bare(self) -> DeliveryView:
        return DeliveryView(self.id, self.row, self.state)


def _listed(storage: Storage, batch: str, row: str | None) -> Iterator[_Listed]:
    for state in get_args(DeliveryState):
        folder = keys.events(state, batch)
        for each in storage.list(keys.events(state, batch, row)):
            name, _, file = each.key.removeprefix(folder).rpartition("/")
            yield _Listed(each.key, state, each.modified, name or None, file.removesuffix(".json"))


def _read(storage: Storage, listed: _Listed) -> tuple[datetime, DeliveryView] | None:
    body = storage.get(listed.key)
    if body is None:  # it moved on this moment; the next look finds it
        return None
    with of_this_version(f"the object {listed.key}"):
        found = WebhookDelivery.model_validate_json(body)
    last = found.last
    view = DeliveryView(
        id=found.id,
        row=found.row,
        state=listed.state,
        type=found.type,
        url=found.shown,
        tries=found.tries,
        last=(last.problem or str(last.status)) if last else None,
        last_at=last.at.isoformat() if last else None,
        next_seconds=_until(found.due) if listed.state == "pending" else None,
    )
    return found.created, view


def _until(moment: datetime) -> float:
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
