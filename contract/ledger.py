"""The ledger in Redis: who holds a job, until when, and how far it is. A hint: it may be wiped at any time.

Time is the server's, in Lua, so that the clocks of workers do not matter. What is true lies in S3.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, get_args

from contract.connection import PULSE_SECONDS, connect, translated
from contract.settings import Settings

State = Literal[
    "queued", "staging", "preparing", "generating", "evaluating", "uploading", "done", "failed", "cancelled"
]
STATES: frozenset[str] = frozenset(get_args(State))
ENDED: frozenset[State] = frozenset(("done", "failed", "cancelled"))
Offer = Literal["publish", "out", "held", "later", "ended"]
"""Publish it; or don't: a message is out, a worker holds it, it waits after a failure, it has ended."""
STATE_OF: dict[str, State] = {"succeeded": "done", "failed": "failed", "cancelled": "cancelled"}
"""The state that a committed manifest's status means."""
KEEP_SECONDS = 7 * 24 * 3600
"""How long an entry outlives its last change."""

Counts = Literal["job", "preempted", "infrastructure", "none"]
"""Whose fault the end of an attempt was: the job's, its machine's (which was stopped), the store's, or nobody's."""
Hold = Literal["held", "lost", "cancelled"]
"""What a holder is told: go on; stop, the job is another's; stop, a person cancelled it."""

# What all scripts begin with. A number that another version wrote as something else counts as 0.
_START = f"""local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function get(name) return redis.call('HGET', KEYS[1], name) end
local function number(name) return tonumber(get(name) or '0') or 0 end
local function count(name, by)
  local sum = number(name) + by
  redis.call('HSET', KEYS[1], name, sum)
  return sum
end
local function keep() redis.call('EXPIRE', KEYS[1], {KEEP_SECONDS}) end
local state = get('state')
local ended = state == 'done' or state == 'failed' or state == 'cancelled'
local held = number('lease') > now
"""

# ARGV: milliseconds after which an unclaimed message counts as lost, doubled with every offer up to an hour: behind
# long jobs a message waits long, and must not be repeated for ever. An owner whose lease is over did not release: the
# job was taken in the middle, and does not wait its turn again.
_OFFER = f"""{_START}
if ended then return 'ended' end
if held then return 'held' end
if number('not_before') > now then return 'later' end
local offers = number('offers')
local patience = math.max(math.min(ARGV[1] * 2 ^ (offers - 1), 3600000), ARGV[1])
if number('offered') + patience > now then return 'out' end
redis.call('HSET', KEYS[1], 'state', 'queued', 'offered', now, 'offers', offers + 1)
if get('owner') then redis.call('HSET', KEYS[1], 'urgent', 1) end
redis.call('HDEL', KEYS[1], 'frames', 'total', 'fps') keep()
return 'publish'"""

# ARGV: owner, lease in milliseconds
# A claimed message is not out any more: when the lease expires, the job is offered again at once. An owner that is
# still there did not release: its process died, or was cut off.
_CLAIM = f"""{_START}
local function answer(outcome, orphaned)
  local trouble = number('trouble')
  if trouble > 0 then trouble = now - trouble end
  return {{outcome, number('attempts'), number('lost'), number('preempted'), orphaned, trouble}}
end
if ended then return answer('ended', 0) end
if held then return answer('busy', 0) end
if get('cancel') then return answer('cancelled', 0) end
if number('not_before') > now then return answer('later', 0) end
local orphaned = redis.call('HEXISTS', KEYS[1], 'owner')
count('lost', orphaned)
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'lease', now + ARGV[2], 'state', 'staging', 'since', now)
redis.call('HDEL', KEYS[1], 'frames', 'total', 'fps', 'not_before', 'offered', 'offers', 'urgent', 'last') keep()
return answer('claimed', orphaned)"""

# KEYS: job, kombu's unacked_index.
# ARGV: owner, lease in milliseconds, delivery tag, state, frames, total, fps, attempts, lost, preempted
# A wiped ledger is written anew by whoever works, unless that one has given the job back himself.
_BEAT = f"""{_START}
local owner = get('owner')
local wiped = not owner and not ended and get('last') ~= ARGV[1]
if owner ~= ARGV[1] and not wiped then return 'lost' end
if wiped then redis.call('HSET', KEYS[1], 'attempts', ARGV[8], 'lost', ARGV[9], 'preempted', ARGV[10]) end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'lease', now + ARGV[2], 'state', ARGV[4], 'frames', ARGV[5], 'total', ARGV[6], 'fps', ARGV[7])
redis.call('ZADD', KEYS[2], 'XX', now / 1000, ARGV[3]) keep()
if get('cancel') then return 'cancelled' end
return 'held'"""

# ARGV: owner, delay in milliseconds before it may be offered again, whose fault it was, the code of the error
_RELEASE = f"""{_START}
if get('owner') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'state', 'queued', 'not_before', now + ARGV[2], 'offered', 0, 'last', ARGV[1], 'reason', ARGV[4])
redis.call('HDEL', KEYS[1], 'owner', 'lease', 'frames', 'total', 'fps', 'offers')
if ARGV[3] == 'job' then count('attempts', 1) redis.call('HDEL', KEYS[1], 'trouble') end
if ARGV[3] == 'preempted' then count('preempted', 1) redis.call('HSET', KEYS[1], 'urgent', 1) end
if ARGV[3] == 'infrastructure' then redis.call('HSETNX', KEYS[1], 'trouble', now) end
keep()
return 1"""

# ARGV: delay in milliseconds before it may be offered again
_PUT_OFF = f"""{_START}
if ended or held or not get('offered') then return 0 end
redis.call('HSET', KEYS[1], 'not_before', now + ARGV[1], 'offered', 0)
redis.call('HDEL', KEYS[1], 'offers') keep()
return 1"""

_CANCEL = f"""{_START}
if ended or redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'cancel', 1) keep()
return held and 1 or 0"""


@dataclass(frozen=True)
class Claim:
    """What became of the wish to run a job, and how earlier attempts at it ended."""

    outcome: Literal["claimed", "busy", "later", "cancelled", "ended"]
    """Only `claimed` is a yes. `later`: it waits after a failure. `cancelled`: a person wished so, and nobody holds it."""
    attempts: int = 0
    """Those that failed by the job's fault."""
    lost: int = 0
    """Those whose holder was never heard of again."""
    preempted: int = 0
    """Those whose machine was stopped."""
    orphaned: bool = False
    """The attempt before this one is among the lost."""
    trouble_seconds: float = 0.0
    """For how long the store or the broker has kept this job from ending; 0 when nothing has."""

    @property
    def number(self) -> int:
        """Of the attempt that begins now, from 1; interruptions that say nothing about the job are not counted."""
        return self.attempts + self.lost + 1


@dataclass(frozen=True)
class Progress:
    """Where a job stands. `fps` counts frames generated per second of wall clock."""

    state: State
    frames: int = 0
    total: int = 0
    fps: float = 0.0
    attempts: int = 0
    """Those before that failed or were never heard of again."""
    later_seconds: float = 0.0
    """It waits so much longer after a failure."""
    reason: str | None = None
    """Code of the error that the last attempt ended with, where it said so."""
    cancelling: bool = False
    """A person wants it to stop, and it has not yet."""

    @property
    def eta_seconds(self) -> float | None:
        """Seconds until the last frame at this pace; None while there is none."""
        return (self.total - self.frames) / self.fps if self.fps > 0 else None


class Ledger:
    """Leases and progress of jobs. Every method raises `BrokerUnavailable` while Redis is away."""

    def __init__(self, settings: Settings) -> None:
        url = settings.redis_url.get_secret_value()
        self._redis, pulse = connect(url), connect(url, answer_seconds=PULSE_SECONDS, tries=0)
        self._prefix = f"{settings.namespace}:"
        self._offer = self._redis.register_script(_OFFER)
        self._claim = self._redis.register_script(_CLAIM)
        self._beat = pulse.register_script(_BEAT)
        self._release = self._redis.register_script(_RELEASE)
        self._put_off = self._redis.register_script(_PUT_OFF)
        self._cancel = self._redis.register_script(_CANCEL)

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

    def urgent(self, jobs: Sequence[str]) -> frozenset[str]:
        """Those of the jobs whose worker was stopped or died in the middle: they go before others."""
        with self._translated(), self._redis.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.hexists(self._key(job), "urgent")
            return frozenset(job for job, yes in zip(jobs, pipe.execute(), strict=True) if yes)

    def claim(self, job: str, owner: str, lease_seconds: float) -> Claim:
        """Take the job for `owner`, or learn why not. A holder that was never heard of again is counted here."""
        with self._translated():
            outcome, attempts, lost, preempted, orphaned, trouble = self._claim(
                keys=[self._key(job)], args=[owner, _ms(lease_seconds)]
            )
            return Claim(outcome, attempts, lost, preempted, bool(orphaned), trouble / 1000)

    def beat(
        self,
        job: str,
        owner: str,
        lease_seconds: float,
        delivery_tag: str,
        progress: Progress,
        counters: Claim | None = None,
    ) -> Hold:
        """Renew the lease and the broker's, and learn whether to go on; tried once, and known after seconds.

        A wiped entry is written anew, with the `counters` that its claim told.
        """
        was = counters or Claim("claimed")
        with self._translated():
            lease: list[str | int] = [owner, _ms(lease_seconds), delivery_tag]
            shown = [progress.state, progress.frames, progress.total, f"{progress.fps:.3f}"]
            answer: Hold = self._beat(
                keys=[self._key(job), f"{self._prefix}unacked_index"],
                args=[*lease, *shown, was.attempts, was.lost, was.preempted],
            )
            return answer

    def release(
        self, job: str, owner: str, *, delay_seconds: float = 0.0, counts: Counts = "job", reason: str = ""
    ) -> bool:
        """Give the job back, to be offered again after a delay; False when it was not this owner's any more.

        `reason`: the code of the error that ended the attempt, for people who look on.
        """
        with self._translated():
            args: list[str | int] = [owner, _ms(delay_seconds), counts, reason]
            return bool(self._release(keys=[self._key(job)], args=args))

    def put_off(self, job: str, delay_seconds: float) -> bool:
        """Have a job that was offered and that nobody holds offered again after a delay; False: there is none such."""
        with self._translated():
            return bool(self._put_off(keys=[self._key(job)], args=[_ms(delay_seconds)]))

    def cancel(self, jobs: Sequence[str]) -> list[str]:
        """Have the holders of these jobs stop at their next beat, and claims refused; those that are held now.

        Jobs that the ledger does not know are passed over: nothing is left behind for them.
        """
        with self._translated(), self._redis.pipeline(transaction=False) as pipe:
            for job in jobs:
                self._cancel(keys=[self._key(job)], client=pipe)
            return [job for job, held in zip(jobs, pipe.execute(), strict=True) if held]

    def finish(self, job: str, state: State) -> None:
        """Note that a manifest is committed."""
        with self._translated(), self._redis.pipeline() as pipe:
            pipe.hset(self._key(job), "state", state)
            pipe.hdel(self._key(job), "owner", "lease", "cancel", "urgent", "trouble")
            pipe.expire(self._key(job), KEEP_SECONDS)
            pipe.execute()

    def forget(self, job: str) -> None:
        """Drop what is known of a job, so that it may be offered anew."""
        with self._translated():
            self._redis.delete(self._key(job))

    def progress(self, jobs: Sequence[str]) -> list[Progress | None]:
        """Where each job stands, in the same order; None for those that the ledger does not know."""
        with self._translated(), self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            for job in jobs:
                pipe.hmget(self._key(job), *_SHOWN)
            (second, microsecond), *entries = pipe.execute()
            now = second * 1000 + microsecond // 1000
            return [_progress(dict(zip(_SHOWN, each, strict=True)), now) for each in entries]

    def ping(self) -> None:
        """Return if Redis answers."""
        with self._translated():
            self._redis.ping()

    def _key(self, job: str) -> str:
        return f"{self._prefix}job:{job}"

    def _translated(self) -> AbstractContextManager[None]:
        return translated("the ledger")


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


_SHOWN = (
    "state",
    "frames",
    "total",
    "fps",
    "attempts",
    "lost",
    "not_before",
    "reason",
    "cancel",
)


def _progress(entry: dict[str, Any], now: int) -> Progress | None:
    """What an entry says; `now` in milliseconds of the server's clock."""
    state = entry["state"]
    if state not in STATES:  # nothing known, or the word of a newer version for a stage of its own
        return Progress("preparing") if state else None
    return Progress(
        state,
        int(entry["frames"] or 0),
        int(entry["total"] or 0),
        float(entry["fps"] or 0.0),
        attempts=int(entry["attempts"] or 0) + int(entry["lost"] or 0),
        later_seconds=max(int(entry["not_before"] or 0) - now, 0) / 1000,
        reason=entry["reason"] or None,
        cancelling=bool(entry["cancel"]),
    )
