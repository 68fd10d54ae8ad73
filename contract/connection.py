"""How every client of Redis connects: bounded in time, and through Sentinels or TLS where the address says so."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from contract.address import RedisAddress
from contract.errors import BrokerUnavailable, ConfigurationError

SOCKET_OPTIONS: dict[str, Any] = {
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 25,
}
"""A dead peer is noticed, and nothing hangs for ever."""
ANSWER_SECONDS = 10
"""A command of the ledger takes milliseconds; a server that hangs is known after a few of these."""
TRIES = 3
"""A command is repeated after a connection breaks, within a second or so; whoever asks waits for longer outages himself."""
PULSE_SECONDS = 3
"""A beat that is not answered for so long is left out, and not repeated: the next one comes in a second."""
SENTINEL_SECONDS = 2
"""A Sentinel that does not answer for so long is passed over for the next."""


def connect(url: str, *, answer_seconds: float = ANSWER_SECONDS, tries: int = TRIES) -> redis.Redis:
    """A client that answers in str; nothing connects yet."""
    address = RedisAddress.parse(url)
    options = {
        "db": address.db,
        "username": address.username,
        "password": address.password,
        "decode_responses": True,
        **SOCKET_OPTIONS,
        "socket_timeout": answer_seconds,
        "socket_connect_timeout": min(answer_seconds, SOCKET_OPTIONS["socket_connect_timeout"]),
        "retry": Retry(ExponentialWithJitterBackoff(base=0.1, cap=1.0), tries),
    }
    if address.master:
        once = Retry(NoBackoff(), 0)  # then the next one is asked
        asking = {**sentinel_options(address), "retry": once}
        sentinels = Sentinel(address.hosts, sentinel_kwargs=asking, **options)  # type: ignore[no-untyped-call]
        client: redis.Redis = sentinels.master_for(address.master)  # type: ignore[no-untyped-call]
        return client
    ((host, port),) = address.hosts
    return redis.Redis(host=host, port=port, ssl=address.tls is not None, **(address.tls or {}), **options)


def sentinel_options(address: RedisAddress) -> dict[str, Any]:
    """How the Sentinels themselves are asked."""
    bounded = {"socket_timeout": SENTINEL_SECONDS, "socket_connect_timeout": SENTINEL_SECONDS}
    return {**bounded, **address.sentinel_login}


@contextmanager
def translated(what: str) -> Iterator[None]:
    """The one door for redis-py's exceptions, around commands that serve `what`.

    Raises:
        ConfigurationError: Redis refuses the credentials.
        BrokerUnavailable: it is away.
    """
    try:
        yield
    except redis.AuthenticationError as error:
        raise ConfigurationError(f"Redis refuses the credentials ({error}); set DUBLINE_REDIS_URL") from error
    except redis.RedisError as error:
        raise BrokerUnavailable(f"Redis does not serve {what}: {error}; see DUBLINE_REDIS_URL") from error
