"""How often a key may ask: a bucket of tokens in Redis, the same for all processes. While Redis is away nobody is held up."""

import logging

from contract.connection import connect, translated
from contract.errors import BrokerUnavailable
from contract.settings import Settings

logger = logging.getLogger(__name__)

# KEYS: bucket. ARGV: tokens a millisecond, tokens that it holds. Answers the milliseconds to wait, 0: come in.
_TAKE = """local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)
local rate, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local was = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = math.min(most, (tonumber(was[1]) or most) + math.max(0, now - (tonumber(was[2]) or now)) * rate)
local wait = 0
if tokens >= 1 then tokens = tokens - 1 else wait = math.ceil((1 - tokens) / rate) end
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', now)
redis.call('PEXPIRE', KEYS[1], math.ceil(most / rate))
return wait"""


class RateLimit:
    """`api_rate_per_minute` requests a minute for each key; that many at once after a quiet minute."""

    def __init__(self, settings: Settings) -> None:
        self._redis = connect(settings.redis_url.get_secret_value())
        self._take = self._redis.register_script(_TAKE)
        self._prefix = f"{settings.namespace}:api:rate:"
        self._most = settings.api_rate_per_minute
        self._is_away = False

    def wait_seconds(self, owner: str) -> float:
        """How long this key must wait for its next request; 0: not at all, and this one is counted."""
        try:
            with translated("the rate limit"):
                wait: int = self._take(keys=[self._prefix + owner], args=[self._most / 60_000, self._most])
        except BrokerUnavailable as error:
            if not self._is_away:
                logger.warning("requests are not counted until Redis is back: %s", error)
            self._is_away = True
            return 0.0
        self._is_away = False
        return wait / 1000
