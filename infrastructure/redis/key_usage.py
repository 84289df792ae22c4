"""Use of API keys in Redis: a fixed window of requests for each key, and the addresses that a key came from today.

It fails open: without Redis no request is refused, and PostgreSQL says which uses are in the audit log already.
"""

import asyncio
import time
from dataclasses import dataclass
from uuid import UUID

import structlog
from redis.asyncio import Redis

from domain.errors import ServiceUnavailableError
from domain.keys import RATE_WINDOW_SECONDS, RateLimit
from infrastructure.observability.log_throttle import LogThrottle
from infrastructure.redis.queue import redis_errors

TIMEOUT_SECONDS = 1.0
PAUSE_SECONDS = 5.0
"""After a failure Redis is left alone for so long, so that not every request waits for a Redis that does not answer."""

LOG_SECONDS = 60.0
CLAIM_SECONDS = 60
"""A use that was announced and not recorded, as when the process was killed in between, is announced again then."""

DAY_SECONDS = 86_400

log = structlog.get_logger(__name__)

# The window begins with its first request. ARGV: its seconds, and for the mark the seconds that it stays unconfirmed.
# A key of another type or without an end, which only another program can have written, is replaced.
_COUNT = """
local requests = redis.pcall('INCR', KEYS[1])
local left = redis.call('TTL', KEYS[1])
if type(requests) ~= 'number' or left < 0 then
  redis.call('SET', KEYS[1], 1, 'EX', ARGV[1])
  requests, left = 1, tonumber(ARGV[1])
end
local is_new = redis.call('SET', KEYS[2], '1', 'NX', 'EX', ARGV[2])
return {requests, left, is_new and 1 or 0}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """What Redis says about a use of a key.

    `first_today` is None where Redis does not answer: then the rate limit is unused.
    """

    rate_limit: RateLimit
    exceeded: bool
    first_today: bool | None


class KeyUsage:
    """Counts requests by key, for all replicas of an API together."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._count = redis.register_script(_COUNT)
        self._throttle = LogThrottle(LOG_SECONDS)
        self._paused_until = 0.0

    async def count(self, key_id: UUID, limit: int, address: str | None, day: str) -> KeyUse:
        """Count one request of the key from the address, on the day (UTC, `YYYY-MM-DD`)."""
        open_limit = RateLimit(limit=limit, remaining=limit, reset_seconds=RATE_WINDOW_SECONDS)
        unknown = KeyUse(rate_limit=open_limit, exceeded=False, first_today=None)
        if time.monotonic() < self._paused_until:
            return unknown
        names = [f"vibe8:key:{key_id}:requests", _mark(key_id, address, day)]
        try:
            async with redis_errors(), asyncio.timeout(TIMEOUT_SECONDS):
                requests, left, is_new = await self._count(keys=names, args=[RATE_WINDOW_SECONDS, CLAIM_SECONDS])
        except ServiceUnavailableError as error:
            self._paused_until = time.monotonic() + PAUSE_SECONDS
            if self._throttle.allows():
                log.warning("key.rate_limit_unavailable", reason=str(error))
            return unknown
        self._throttle.reset()
        used = RateLimit(limit=limit, remaining=max(0, limit - requests), reset_seconds=max(1, left))
        return KeyUse(rate_limit=used, exceeded=requests > limit, first_today=bool(is_new))

    async def confirm(self, key_id: UUID, address: str | None, day: str) -> None:
        """Remember that the log has the use of this day. If this fails, it may get a second entry of that day."""
        try:
            async with redis_errors(), asyncio.timeout(TIMEOUT_SECONDS):
                await self._redis.set(_mark(key_id, address, day), "1", ex=DAY_SECONDS)
        except ServiceUnavailableError as error:
            log.debug("key.use_unconfirmed", reason=str(error))


def _mark(key_id: UUID, address: str | None, day: str) -> str:
    return f"vibe8:key:{key_id}:{day}:{address or '-'}"
