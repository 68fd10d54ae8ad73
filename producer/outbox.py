"""Events for webhooks, put where couriers find them: before whatever says that a row or a batch is settled.

The facts of an event decide its id and its bytes, so that any number of feeders may put it any number of times.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, get_args

from contract import keys
from contract.manifest import Manifest
from contract.storage import Storage
from contract.summary import Summary
from contract.webhook import BatchWebhook, DeliveryState, EventType, Told, WebhookDelivery, event_id

TYPES: dict[str, EventType] = {
    "succeeded": "job.succeeded",
    "failed": "job.failed",
    "cancelled": "job.cancelled",
}
OVER: tuple[DeliveryState, ...] = tuple(each for each in get_args(DeliveryState) if each != "pending")

Tell = Callable[[WebhookDelivery], None]
"""Told of what was just put, so that it need not be looked for."""


class Outbox:
    """Puts events that are to be posted."""

    def __init__(self, storage: Storage, tell: Tell = lambda _: None) -> None:
        self._storage = storage
        self._tell = tell

    def row_ended(self, batch: str, row: str, manifest: Manifest, url: str) -> None:
        """A row has its result; one that is made after a requeue is another event."""
        if self._was_told(batch, manifest.attempt.ended):
            return
        name = event_id(batch, row, manifest.job_id, manifest.attempt.id)
        kind = TYPES[manifest.status]
        body = _body(kind, manifest.attempt.ended, _row_data(batch, row, manifest))
        self._put(_delivery(name, kind, batch, row, url, body))

    def batch_ended(self, summary: Summary) -> None:
        """All rows of a batch have theirs, and somebody wants to know; after a requeue it ends once more."""
        found = self._storage.get(keys.webhook(summary.batch))
        if found is None:
            return
        url = BatchWebhook.model_validate_json(found).url
        name = event_id(summary.batch, "", summary.requeued or "")
        body = _body("batch.ended", datetime.now(UTC), summary.model_dump(mode="json"))
        self._put(_delivery(name, "batch.ended", summary.batch, None, url, body))

    def _was_told(self, batch: str, ended: datetime) -> bool:
        """Whether its event is over for so long that it was swept: requeueing one row has all of them counted once more."""
        found = self._storage.get(keys.told(batch))
        return found is not None and ended < Told.model_validate_json(found).before

    def _put(self, delivery: WebhookDelivery) -> None:
        if is_over(self._storage, delivery):
            return
        key = keys.event("pending", delivery.batch, delivery.row, delivery.id)
        body = delivery.model_dump_json(indent=1).encode()
        if self._storage.put_if_absent(key, body) == body:
            self._tell(delivery)


def is_over(storage: Storage, delivery: WebhookDelivery) -> bool:
    """Whether an event was delivered or given up before."""
    found = (keys.event(state, delivery.batch, delivery.row, delivery.id) for state in OVER)
    return any(storage.stat(each) for each in found)


def _delivery(
    name: str, kind: EventType, batch: str, row: str | None, url: str, body: str
) -> WebhookDelivery:
    now = datetime.now(UTC)
    return WebhookDelivery(id=name, type=kind, batch=batch, row=row, url=url, body=body, created=now, due=now)


def _body(kind: EventType, moment: datetime, data: dict[str, Any]) -> str:
    """As Standard Webhooks has it."""
    return json.dumps({"type": kind, "timestamp": moment.isoformat(), "data": data}, ensure_ascii=False)


def _row_data(batch: str, row: str, manifest: Manifest) -> dict[str, Any]:
    output, cost, error = manifest.output, manifest.cost, manifest.error
    return {
        "batch": batch,
        "row": row,
        "job": manifest.job_id,
        "status": manifest.status,
        "attempts": manifest.attempt.number,
        "error": {"code": error.code, "message": error.message} if error else None,
        "output": {
            "key": keys.output(batch, row),
            "bytes": output.bytes,
            "sha256": output.sha256,
            "frames": output.frames,
            "seconds": output.duration_seconds,
        }
        if output
        else None,
        "cost": {"amount": cost.amount, "currency": cost.currency, "seconds": cost.seconds} if cost else None,
        "manifest": keys.manifest(manifest.job_id),
    }
