"""The backlog in Redis: what feeders know is still to be done. The queue holds only a window of it.

A hint: every feeder writes the same thing once a step, and without any it is gone soon.
"""

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, ValidationError

from contract.connection import connect, translated
from contract.job import Boundary
from contract.settings import Settings

KEEP_SECONDS = 30.0
"""What no feeder has said again for so long is not known any more."""


class BacklogRecord(Boundary):
    """What is still to be done."""

    schema_version: Literal[1] = 1
    batches: int = Field(ge=0)
    """Those that are open."""
    rows: int = Field(ge=0)
    """Rows that have not ended, whether they wait, are in the queue or at work."""
    oldest: datetime | None = None
    """When the oldest of the open batches was submitted, by the store's clock."""


class Backlog:
    """What is still to be done. Every method raises `BrokerUnavailable` while Redis is away."""

    def __init__(self, settings: Settings, keep_seconds: float = KEEP_SECONDS, **options: Any) -> None:
        self._redis = connect(settings.redis_url.get_secret_value(), **options)
        self._key = f"{settings.namespace}:backlog"
        self._keep = round(keep_seconds * 1000)

    def tell(self, record: BacklogRecord) -> None:
        """Say what is still to be done."""
        with self._translated():
            self._redis.set(self._key, record.model_dump_json(), px=self._keep)

    def look(self) -> BacklogRecord | None:
        """What a feeder said last; None where none has lately, or one of another version."""
        with self._translated():
            body: Any = self._redis.get(self._key)
        try:
            return BacklogRecord.model_validate_json(body) if body else None
        except ValidationError:
            return None

    def _translated(self) -> AbstractContextManager[None]:
        return translated("the backlog")
