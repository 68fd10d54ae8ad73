"""The pace in Redis: how long the last jobs took, and when they ended. A hint, for estimates. Time is the server's, in Lua.

Of all engines together: a fleet runs the jobs of one queue, and what is in it next is like what was in it last.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from contract.connection import PULSE_SECONDS, connect, translated
from contract.settings import Settings

JOBS = 200
"""So many of the last jobs are kept."""
KEEP_SECONDS = 7 * 24 * 3600
"""For so long after the last one."""
RECENT_SECONDS = 600.0
"""Throughput is what ended within so long."""

# KEYS: the last jobs, newest first. ARGV: worker-seconds of one, jobs to keep, seconds to keep them
_NOTE = """local t = redis.call('TIME')
redis.call('LPUSH', KEYS[1], t[1] .. ' ' .. ARGV[1])
redis.call('LTRIM', KEYS[1], 0, ARGV[2] - 1)
redis.call('EXPIRE', KEYS[1], ARGV[3])"""


@dataclass(frozen=True)
class PaceFigures:
    """How fast jobs were done lately."""

    jobs: int
    """Those that the figures rest on; 0: none has been seen."""
    seconds_per_job: float | None
    """One worker's seconds, in the mean."""
    jobs_per_hour: float
    """Of all workers together, in the last minutes."""


class Pace:
    """How long jobs take. Every method raises `BrokerUnavailable` while Redis is away."""

    def __init__(self, settings: Settings) -> None:
        url = settings.redis_url.get_secret_value()
        # Noted at the end of a job, which does not wait for it.
        self._redis = connect(url, answer_seconds=PULSE_SECONDS, tries=0)
        self._key = f"{settings.namespace}:pace"
        self._note = self._redis.register_script(_NOTE)

    def note(self, seconds: float) -> None:
        """Note that a job has ended, and for how long a worker was at it."""
        with self._translated():
            self._note(keys=[self._key], args=[f"{seconds:.3f}", JOBS, KEEP_SECONDS])

    def look(self) -> PaceFigures:
        """Figures of the last jobs."""
        with self._translated(), self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.lrange(self._key, 0, -1)
            (now, _), lines = pipe.execute()
        return _figures(now, [_read(each) for each in lines])

    def _translated(self) -> AbstractContextManager[None]:
        return translated("the pace of jobs")


def _read(line: Any) -> tuple[int, float]:
    """When a job ended, in seconds since 1970, and the seconds that it took."""
    at, seconds = line.split()
    return int(at), float(seconds)


def _figures(now: int, ended: list[tuple[int, float]]) -> PaceFigures:
    """Of jobs, newest first."""
    if not ended:
        return PaceFigures(0, None, 0.0)
    recent = [at for at, _ in ended if now - at <= RECENT_SECONDS]
    # Where more have ended than are kept, those that are kept tell of less time.
    seen_seconds = max(now - ended[-1][0], 1) if len(recent) == JOBS else RECENT_SECONDS
    mean = sum(seconds for _, seconds in ended) / len(ended)
    return PaceFigures(len(ended), mean, 3600 * len(recent) / seen_seconds)
