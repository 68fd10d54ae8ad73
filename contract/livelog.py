"""What the attempts at a job have logged so far, in Redis: for people who look on, and of attempts that are never heard of again.

An attempt puts its whole log into the bucket at its end; that one is the truth.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from contract.connection import connect, translated
from contract.settings import Settings

LINES = 500
"""So many of a job's last lines are kept, of a line 32 kB at most."""
KEEP_SECONDS = 24 * 3600
"""For so long after its last line."""
ENDED_SECONDS = 600
"""For so long after the end of its attempt, whose log lies in the bucket then."""


@dataclass(frozen=True)
class LiveLine:
    """One line of a running attempt's log."""

    position: str
    """Of the line among those of its job: to go on from there."""
    attempt: str
    line: str
    """A JSON object, as in the log that the attempt will leave."""


class LiveLog:
    """Logs while they are written. Every method raises `BrokerUnavailable` while Redis is away."""

    def __init__(self, settings: Settings) -> None:
        self._redis = connect(settings.redis_url.get_secret_value())
        self._prefix = f"{settings.namespace}:"

    def append(self, job: str, attempt: str, lines: Sequence[bytes]) -> None:
        """Add lines of an attempt; the oldest ones of the job that are too many go."""
        with self._translated(), self._redis.pipeline() as pipe:
            for line in lines:
                pipe.xadd(self._key(job), {"attempt": attempt, "line": line}, maxlen=LINES, approximate=False)
            pipe.expire(self._key(job), KEEP_SECONDS)
            pipe.execute()

    def ended(self, job: str) -> None:
        """Note that an attempt has put its log into the bucket: the lines here are not needed much longer."""
        with self._translated():
            self._redis.expire(self._key(job), ENDED_SECONDS)

    def after(self, job: str, position: str = "") -> Iterator[LiveLine]:
        """The lines of a job's attempts that came after the one at `position`, or all, in the order of time."""
        with self._translated():
            found: Any = self._redis.xrange(self._key(job), min=f"({position}" if position else "-")
        for where, fields in found:
            yield LiveLine(where, fields["attempt"], fields["line"])

    def _key(self, job: str) -> str:
        return f"{self._prefix}log:{job}"

    def _translated(self) -> AbstractContextManager[None]:
        return translated("live logs")
