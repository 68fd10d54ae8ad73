"""The ledger in Redis: who holds a job, until when, and how far it is. A hint: it may be wiped at any time.

Time is the server's, in Lua, so that the clocks of workers do not matter. What is true lies in S3.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import redis

from contract.errors import BrokerUnavailable, ConfigurationError
from contract.settings import Settings

State = Literal["queued", "staging", "preparing", "generating", "uploading", "done", "failed", "cancelled"]
ENDED: frozenset[State] = frozenset(("done", "failed", "cancelled"))
Offer = Literal["publish", "out", "held", "later", "ended"]
"""Publish it; or don't: a message is out, a worker holds it, it waits after a failure, it has ended."""
STATE_OF: dict[str, State] = {"succeeded": "done", "failed": "failed", "cancelled": "cancelled"}
"""The state that a committed manifest's status means."""
KEEP_SECONDS = 7 * 24 * 3600
"""How long an entry outlives its last change."""

_NOW = "local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000) "
_EXPIRE = f" redis.call('EXPIRE', KEYS[1], {KEEP_SECONDS}) "
_ENDED = "local state = redis.call('HGET', KEYS[1], 'state') " + (
    "local ended = state == 'done' or state == 'failed' or state == 'cancelled' "
)
_HELD = "local held = tonumber(redis.call('HGET', KEYS[1], 'lease') or '0') > now "

# ARGV: milliseconds after which an unclaimed message counts as lost, doubled with every offer up to an hour: behind
# long jobs a message waits long, and must not be repeated for ever
_OFFER = f"""{_NOW} {_ENDED} {_HELD}
if ended then return 'ended' end
if held then return 'held' end
if tonumber(redis.call('HGET', KEYS[1], 'not_before') or '0') > now then return 'later' end
local offers = tonumber(redis.call('HGET', KEYS[1], 'offers') or '0')
local patience = math.max(math.min(ARGV[1] * 2 ^ (offers - 1), 3600000), ARGV[1])
if tonumber(redis.call('HGET', KEYS[1], 'offered') or '0') + patience > now then return 'out' end
redis.call('HSET', KEYS[1], 'state', 'queued', 'offered', now, 'offers', offers + 1)
redis.call('HDEL', KEYS[1], 'frames', 'total', 'fps') {_EXPIRE}
return 'publish'"""

# ARGV: owner, lease in milliseconds
# A claimed message is not out any more: when the lease expires, the job is offered again at once.
_CLAIM = f"""{_NOW} {_ENDED} {_HELD}
if ended then return {{'ended', 0}} end
if held then return {{'busy', 0}} end
local attempts = redis.call('HINCRBY', KEYS[1], 'attempts', 1)
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'lease', now + ARGV[2], 'state', 'staging', 'since', now)
redis.call('HDEL', KEYS[1], 'frames', 'total', 'fps', 'not_before', 'offered', 'offers') {_EXPIRE}
return {{'claimed', attempts}}"""

# KEYS: job, kombu's unacked_index. ARGV: owner, lease in milliseconds, delivery tag, state, frames, total, fps
# A wiped ledger is written anew by whoever works.
_BEAT = f"""{_NOW}
if redis.call('EXISTS', KEYS[1]) == 1 and redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'lease', now + ARGV[2], 'state', ARGV[4], 'frames', ARGV[5], 'total', ARGV[6], 'fps', ARGV[7])
redis.call('ZADD', KEYS[2], 'XX', now / 1000, ARGV[3]) {_EXPIRE}
return 1"""

# ARGV: owner, state, delay in milliseconds before it may be offered again, 1 if the attempt does not count
_RELEASE = f"""{_NOW}
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'not_before', now + ARGV[3], 'offered', 0)
redis.call('HDEL', KEYS[1], 'owner', 'lease', 'frames', 'total', 'fps')
if ARGV[4] == '1' then redis.call('HINCRBY', KEYS[1], 'attempts', -1) end {_EXPIRE}
return 1"""


@dataclass(frozen=True)
class Claim:
    """What became of the wish to run a job."""

    outcome: Literal["claimed", "busy", "ended"]
    attempts: int
    """This attempt's number, from 1; 0 unless claimed."""


@dataclass(frozen=True)
class Progress:
    """Where a job stands. `fps` counts frames generated per second of wall clock."""

    state: State
    frames: int = 0
    total: int = 0
    fps: float = 0.0

    @property
    def eta_seconds(self) -> float | None:
        """Seconds until the last frame at this pace; None while there is none."""
        return (self.total - self.frames) / self.fps if self.fps > 0 else None


class Ledger:
    """Leases and progress of jobs. Every method raises `BrokerUnavailable` while Redis is away."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.redis_url.get_secret_value()
        self._redis = redis.Redis.from_url(
            self._url,
            decode_responses=True,
            socket_timeout=30,
            socket_connect_timeout=5,
            socket_keepalive=True,
            health_check_interval=25,
        )
        self._prefix = f"{settings.namespace}:"
        self._offer = self._redis.register_script(_OFFER)
        self._claim = self._redis.register_script(_CLAIM)
        self._beat = self._redis.register_script(_BEAT)
        self._release = self._redis.register_script(_RELEASE)

    def offer(self, job: str, *, lost_after_seconds: float) -> Offer:
        """What to do with a job now. Of any number of callers one is told to publish it.

        A message counts as lost when nobody claimed it for `lost_after_seconds`, twice that the second time, and so on.
        """
        with self._translated():
            answer: Offer = self._offer(keys=[self._key(job)], args=[_ms(lost_after_seconds)])
            return answer

    def withdraw(self, job: str) -> None:
        """Take an offer back whose message could not be published."""
        with self._translated():
            self._redis.hdel(self._key(job), "offered", "offers")

    def claim(self, job: str, owner: str, lease_seconds: float) -> Claim:
        """Take the job for `owner`, counting the attempt before it starts; or learn why not."""
        with self._translated():
            outcome, attempts = self._claim(keys=[self._key(job)], args=[owner, _ms(lease_seconds)])
            return Claim(outcome, int(attempts))

    def beat(self, job: str, owner: str, lease_seconds: float, delivery_tag: str, progress: Progress) -> bool:
        """Renew the lease and the broker's; False when the job is another's by now."""
        with self._translated():
            lease: list[str | int] = [owner, _ms(lease_seconds), delivery_tag]
            args = [*lease, progress.state, progress.frames, progress.total, f"{progress.fps:.3f}"]
            return bool(self._beat(keys=[self._key(job), f"{self._prefix}unacked_index"], args=args))

    def release(self, job: str, owner: str, *, delay_seconds: float = 0.0, counted: bool = True) -> bool:
        """Give the job back, to be offered again after a delay; `counted=False` takes the attempt back too."""
        with self._translated():
            args: list[str | int] = [owner, "queued", _ms(delay_seconds), "0" if counted else "1"]
            return bool(self._release(keys=[self._key(job)], args=args))

    def finish(self, job: str, state: State) -> None:
        """Note that a manifest is committed."""
        with self._translated(), self._redis.pipeline() as pipe:
            pipe.hset(self._key(job), "state", state)
            pipe.hdel(self._key(job), "owner", "lease")
            pipe.expire(self._key(job), KEEP_SECONDS)
            pipe.execute()

    def forget(self, job: str) -> None:
        """Drop what is known of a job, so that it may be offered anew."""
        with self._translated():
            self._redis.delete(self._key(job))

    def progress(self, jobs: Sequence[str]) -> list[Progress | None]:
        """Where each job stands, in the same order; None for those that the ledger does not know."""
        with self._translated(), self._redis.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.hmget(self._key(job), "state", "frames", "total", "fps")
            return [_progress(fields) for fields in pipe.execute()]

    def ping(self) -> None:
        """Return if Redis answers."""
        with self._translated():
            self._redis.ping()

    def _key(self, job: str) -> str:
        return f"{self._prefix}job:{job}"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The one door for redis-py's exceptions."""
        try:
            yield
        except redis.AuthenticationError as error:
            raise ConfigurationError(
                f"Redis refuses the credentials ({error}); set DUBLINE_REDIS_URL"
            ) from error
        except redis.RedisError as error:
            raise BrokerUnavailable(
                f"Redis does not serve the ledger: {error}; see DUBLINE_REDIS_URL"
            ) from error


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _progress(fields: list[Any]) -> Progress | None:
    state, frames, total, fps = fields
    return Progress(state, int(frames or 0), int(total or 0), float(fps or 0.0)) if state else None
