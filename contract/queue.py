"""What lies in the queue, and for how long: read from kombu's own keys (reliability.md 1.1), for people, metrics and scalers."""

import json
from dataclasses import dataclass
from typing import Any

from contract.broker import LISTS, PUBLISHED, QUEUE
from contract.connection import connect, translated
from contract.settings import Settings

_SEPARATOR = "\x06\x16"
"""Between the name of a queue and a priority, in the name of a list."""


@dataclass(frozen=True)
class QueueFigures:
    """The queue, at one moment."""

    waiting: dict[str, int]
    """Messages that nobody has taken, by how urgent they are, first served first; `urgent`: their worker was stopped."""
    held: int
    """Messages that a worker has taken and not acknowledged: jobs at work, but for the moments at their ends."""
    oldest_seconds: float | None
    """Since when the oldest of those that wait was published; None where none waits, or none says when."""

    @property
    def depth(self) -> int:
        """All that wait."""
        return sum(self.waiting.values())


class Queue:
    """Looks at the queue, and never takes anything."""

    def __init__(self, settings: Settings, **bound: Any) -> None:
        """`bound`: as `connect` takes it."""
        self._redis = connect(settings.redis_url.get_secret_value(), **bound)
        self._prefix = f"{settings.namespace}:"

    def look(self) -> QueueFigures:
        """Its figures now. Raises BrokerUnavailable while Redis is away.

        A list is taken from at its end, so that its last message is its oldest. When a message was published, its
        publisher has said, by its own clock; it counts from then on, also where a worker took it and gave it back.
        """
        with translated("the queue"), self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.zcard(f"{self._prefix}unacked_index")
            for step in LISTS.values():
                pipe.llen(self._list(step))
                pipe.lindex(self._list(step), -1)
            (second, _), held, *figures = pipe.execute()
        waiting = dict(zip(LISTS, figures[::2], strict=True))
        ages = [second - each for each in map(_published, figures[1::2]) if each is not None]
        return QueueFigures(waiting, held, max(0.0, *ages) if ages else None)

    def _list(self, step: int) -> str:
        return f"{self._prefix}{QUEUE}{_SEPARATOR}{step}" if step else f"{self._prefix}{QUEUE}"


def _published(message: str | None) -> float | None:
    """When a message was published, in seconds since 1970; None where there is none or it does not say."""
    if message is None:
        return None
    try:
        found: Any = json.loads(message)["headers"].get(PUBLISHED)
    except (ValueError, KeyError, AttributeError, TypeError):  # not from Dubline: it counts, and has no age
        return None
    return found if isinstance(found, int | float) else None
