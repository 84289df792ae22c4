"""Numbers of the jobs that ended in each minute of the last hour. Kept in Redis: nothing depends on them."""

import time
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis

from domain.statistics.ends import MINUTES, Ends, MinuteOfEnds, Outcome
from infrastructure.redis.queue import redis_errors

KEPT_SECONDS = 2 * 3600
MAX_COUNT = 10**12


def minute_key() -> str:
    """Return the key of this minute's numbers: a hash of outcomes, kept for KEPT_SECONDS."""
    return _key(int(time.time()) // 60)


class EndCounts:
    """Reads the counts, and adds to them what no worker ends. Workers count with the events that they publish."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def add(self, outcome: Outcome, jobs: int) -> None:
        """Count jobs that ended now. Raises ServiceUnavailableError."""
        async with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hincrby(minute_key(), outcome, jobs)
            pipe.expire(minute_key(), KEPT_SECONDS)
            await pipe.execute(raise_on_error=False)  # a worker replaces a key of the wrong type

    async def read(self) -> Ends:
        """Return the ends of the last MINUTES whole minutes and of the present one. Raises ServiceUnavailableError."""
        now = int(time.time()) // 60
        minutes = range(now - MINUTES, now + 1)
        async with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            for minute in minutes:
                pipe.hmget(_key(minute), list(map(str, Outcome)))
            answers = await pipe.execute(raise_on_error=False)  # a key of the wrong type counts nothing
        return Ends([_minute(minute, values) for minute, values in zip(minutes, answers, strict=True)])


def _minute(minute: int, values: Any) -> MinuteOfEnds:
    counts = dict(zip(Outcome, map(_count, values), strict=True)) if isinstance(values, list) else {}
    return MinuteOfEnds(began_at=datetime.fromtimestamp(minute * 60, UTC), counts=counts)


def _count(value: bytes | None) -> int:
    """Return a count that Redis holds; 0 for one that another program has written."""
    if value is None or not value.isdigit() or len(value) > len(str(MAX_COUNT)):
        return 0
    return min(int(value), MAX_COUNT)


def _key(minute: int) -> str:
    return f"vibe8:ends:{minute}"
