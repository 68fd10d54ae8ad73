"""What is posted to webhooks, and how far each delivery is: one object an event, which moves from folder to folder."""

import hashlib
from datetime import datetime
from typing import Literal

from contract.job import Boundary, RowId, WebAddress
from contract.weburl import shown

EventType = Literal["job.succeeded", "job.failed", "job.cancelled", "batch.ended"]
DeliveryState = Literal["pending", "delivered", "failed"]


class BatchWebhook(Boundary):
    """`batches/<batch>/webhook.json`: who wants to hear that a batch has ended."""

    schema_version: Literal[1] = 1
    url: WebAddress


class Reply(Boundary):
    """What one try brought."""

    at: datetime
    status: int | None = None
    """Of HTTP; None: there was no answer."""
    problem: str | None = None
    """Why there was none, with the code of the error."""


class WebhookDelivery(Boundary):
    """`webhooks/<state>/<batch>/...`: one event on its way to one receiver."""

    schema_version: Literal[1] = 1
    id: str
    """The same for the same event, however often it is posted: receivers drop what they have seen."""
    type: EventType
    batch: str
    row: RowId | None = None
    """None: the event is the batch's."""
    url: WebAddress
    body: str
    """What is posted, to the byte."""
    created: datetime
    due: datetime
    """When it is posted next; while somebody posts it, when another may."""
    tries: int = 0
    last: Reply | None = None
    holder: str | None = None
    """Made up by whoever posts it now, or did last."""

    @property
    def shown(self) -> str:
        """The receiver as people and logs may see it."""
        return shown(self.url)


class Told(Boundary):
    """`webhooks/told/<batch>.json`: the batch was closed, and the events of what had ended before are over and swept."""

    schema_version: Literal[1] = 1
    before: datetime


def event_id(*what: str) -> str:
    """A name for an event that its facts alone decide."""
    return "evt_" + hashlib.sha256("\0".join(what).encode()).hexdigest()[:32]
