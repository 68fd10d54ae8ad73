"""The roster in Redis: which workers there are, and what each of them does. A hint: a worker that falls silent leaves it.

The child that runs jobs writes its worker's record every second or so; only it knows its GPU. Time is the server's, in Lua.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, ValidationError

from contract.connection import connect, translated
from contract.job import Boundary
from contract.settings import Settings

Doing = Literal["idle", "busy", "stopping", "unknown"]
"""`unknown`: its record is of another version."""
KEEP_SECONDS = 15.0
"""A worker that says nothing for so long is not there any more. A child that is replaced takes a few seconds."""

# KEYS: the worker's record, all workers by the time when they were last heard of.
# ARGV: name, record, what it does as one word, milliseconds to keep it
# `since` is when it began to do that.
_ANNOUNCE = """local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)
if redis.call('HGET', KEYS[1], 'doing') ~= ARGV[3] then
  redis.call('HSET', KEYS[1], 'doing', ARGV[3], 'since', now)
end
redis.call('HSET', KEYS[1], 'record', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[4])"""

# KEYS: the worker's record. A worker that has left is not brought back.
_STOP = """if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'stopping', 1) end"""


class WorkerRecord(Boundary):
    """What a worker says of itself."""

    schema_version: Literal[1] = 1
    name: str
    """As Celery and Flower call it: worker1@host."""
    host: str
    doing: Doing = "idle"
    device: str | None = None
    """What its engine runs on; None before its first job."""
    gpu_used_bytes: int | None = None
    """Of its GPU's memory, by whomever it is used; None without a GPU, and before its first job."""
    gpu_bytes: int | None = None
    software: dict[str, str] = Field(default_factory=dict)
    """Versions of what it runs."""
    batch: str | None = None
    row: str | None = None
    job: str | None = None
    attempt: str | None = None
    stage: str | None = None
    """The ledger's state of the job."""
    frames: int = 0
    total: int = 0
    fps: float = 0.0


@dataclass(frozen=True)
class Worker:
    """One worker, as the roster knows it."""

    name: str
    host: str | None = None
    doing: Doing = "unknown"
    since_seconds: float = 0.0
    """For how long it has been idle, or at work on this job."""
    device: str | None = None
    gpu_used_bytes: int | None = None
    gpu_bytes: int | None = None
    software: Mapping[str, str] | None = None
    batch: str | None = None
    row: str | None = None
    job: str | None = None
    attempt: str | None = None
    stage: str | None = None
    frames: int = 0
    total: int = 0
    fps: float = 0.0


class Roster:
    """Who works. Every method raises `BrokerUnavailable` while Redis is away."""

    def __init__(self, settings: Settings, keep_seconds: float = KEEP_SECONDS, **bound: Any) -> None:
        """`bound`: as `connect` takes it."""
        self._redis = connect(settings.redis_url.get_secret_value(), **bound)
        self._prefix = f"{settings.namespace}:"
        self._keep = round(keep_seconds * 1000)
        self._announce = self._redis.register_script(_ANNOUNCE)
        self._stop = self._redis.register_script(_STOP)

    def enrol(self, record: WorkerRecord) -> None:
        """Say that a process is there that has only begun: what one of the same name left behind does not count."""
        self.leave(record.name)
        self.announce(record)

    def announce(self, record: WorkerRecord) -> None:
        """Say that a worker is there, and what it does."""
        doing = record.attempt or record.doing
        with self._translated():
            self._announce(
                keys=[self._key(record.name), self._all],
                args=[record.name, record.model_dump_json(), doing, self._keep],
            )

    def stopping(self, name: str) -> None:
        """Note that a worker was told to stop; it may go on with its job for its grace period."""
        with self._translated():
            self._stop(keys=[self._key(name)])

    def leave(self, name: str) -> None:
        """Take a worker off that has ended."""
        with self._translated(), self._redis.pipeline() as pipe:
            pipe.delete(self._key(name))
            pipe.zrem(self._all, name)
            pipe.execute()

    def workers(self) -> list[Worker]:
        """All that are there, by their names."""
        with self._translated():
            names: list[Any] = sorted(self._redis.zrange(self._all, 0, -1))
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.time()
                for name in names:
                    pipe.hmget(self._key(name), "record", "since", "stopping")
                (second, microsecond), *entries = pipe.execute()
        now = second * 1000 + microsecond // 1000
        seen = zip(names, entries, strict=True)
        return [_worker(name, now, *entry) for name, entry in seen if entry[0]]

    @property
    def _all(self) -> str:
        return f"{self._prefix}workers"

    def _key(self, name: str) -> str:
        return f"{self._prefix}worker:{name}"

    def _translated(self) -> AbstractContextManager[None]:
        return translated("the roster of workers")


def _worker(name: str, now: int, body: str, since: str, stopping: str | None) -> Worker:
    """What an entry says; `now` and `since` in milliseconds of the server's clock."""
    seconds = max(now - int(since), 0) / 1000
    try:
        record = WorkerRecord.model_validate_json(body)
    except ValidationError:
        return Worker(name, since_seconds=seconds)
    said = record.model_dump(exclude={"schema_version"})
    if stopping:
        said["doing"] = "stopping"
    return Worker(**said, since_seconds=seconds)
