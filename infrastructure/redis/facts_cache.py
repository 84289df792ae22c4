"""Facts about files that all replicas share, in the queue's Redis. Implements `domain.ports.FactsCache`.

That Redis evicts nothing by itself, since a queue is in it, so the cache keeps to its own bound: what has not been
asked for the longest goes first. All of it stands under three keys, and `DEL` of them empties it:

    vibe8:facts        hash: digest -> entry
    vibe8:facts:used   sorted set: digest by the time of its last use
    vibe8:facts:bytes  what the entries take in all, as counted here

Each script is atomic, so that the count is right however many replicas write; where one of the keys was lost, the rest
is thrown away. Where Redis has a `maxmemory`, the cache also leaves half of that to the queue: it shrinks
when the queue grows, and no bell can go unrung for its sake.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from infrastructure.observability.prometheus_metrics import FACTS_BYTES, FACTS_FAULTS, FACTS_LOOKED_UP

LOOK_UP_SECONDS = 2.0
KEEP_SECONDS = 5.0
"""After this long the cache counts as away: finding the facts anew takes little longer."""

ANSWER_BYTES = 64 << 20
"""About the most that is looked up for one source; what goes beyond it is not known."""

ENTRY_BYTES = 4 << 20
"""The largest entry that is kept."""

_KEYS_A_TIME = 256
_BYTES_A_TIME = 1 << 20
"""Redis does one thing at a time, and bells are waiting."""

_OVERHEAD = 256
"""Bytes that an entry takes beyond itself, about: its digest twice, a place in the hash and one in the sorted set."""

_NAMES = ("vibe8:facts", "vibe8:facts:used", "vibe8:facts:bytes")

_LOOK_UP = """
local found = redis.call('HMGET', KEYS[1], unpack(ARGV))
local now = redis.call('TIME')[1]
local used = {}
for place = 1, #ARGV do
  if found[place] then
    used[#used + 1] = now
    used[#used + 1] = ARGV[place]
  end
end
if #used > 0 then redis.call('ZADD', KEYS[2], unpack(used)) end
return found
"""

_KEEP = f"""
local overhead, limit = {_OVERHEAD}, tonumber(ARGV[1])
local total = tonumber(redis.call('GET', KEYS[3]) or '0')
local function forget(digest)
  local size = redis.call('HSTRLEN', KEYS[1], digest)
  if redis.call('HDEL', KEYS[1], digest) > 0 then total = total - size - overhead end
end
if redis.call('EXISTS', unpack(KEYS)) < 3 then
  redis.call('DEL', unpack(KEYS))
  total = 0
end
local incoming = 0
for place = 2, #ARGV, 2 do
  forget(ARGV[place])
  redis.call('ZREM', KEYS[2], ARGV[place])
  incoming = incoming + #ARGV[place + 1] + overhead
end
while total > 0 and total + incoming > limit do
  local oldest = redis.call('ZPOPMIN', KEYS[2], 16)
  if #oldest == 0 then
    redis.call('DEL', KEYS[1])
    total = 0
  end
  for place = 1, #oldest, 2 do forget(oldest[place]) end
end
if total + incoming <= limit then
  local now = redis.call('TIME')[1]
  for place = 2, #ARGV, 2 do
    redis.call('HSET', KEYS[1], ARGV[place], ARGV[place + 1])
    redis.call('ZADD', KEYS[2], now, ARGV[place])
  end
  total = total + incoming
end
redis.call('SET', KEYS[3], string.format('%d', total))
return total
"""

log = structlog.get_logger(__name__)


class RedisFactsCache:
    """At most `limit_bytes` in all, whoever writes; the newest limit of any replica holds."""

    def __init__(self, redis: Redis, limit_bytes: int) -> None:
        self._redis = redis
        self._limit = limit_bytes
        self._look_up = redis.register_script(_LOOK_UP)
        self._keep = redis.register_script(_KEEP)

    async def look_up(self, digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """See `domain.ports.FactsCache.look_up`; a round trip for each few hundred digests."""
        found: dict[bytes, bytes] = {}
        size = 0
        async with _forgiven("look_up", LOOK_UP_SECONDS):
            for some in _slices(digests, _KEYS_A_TIME):
                if size > ANSWER_BYTES:
                    break
                answers: list[Any] = await self._look_up(keys=_NAMES, args=some)
                known = {digest: entry for digest, entry in zip(some, answers, strict=True) if entry is not None}
                size += sum(map(len, known.values()))
                found |= known
        FACTS_LOOKED_UP.labels("hit").inc(len(found))
        FACTS_LOOKED_UP.labels("miss").inc(len(digests) - len(found))
        return found

    async def keep(self, entries: Mapping[bytes, bytes]) -> None:
        """See `domain.ports.FactsCache.keep`; a round trip for each megabyte."""
        async with _forgiven("keep", KEEP_SECONDS):
            limit = await self._room()
            for some in _portions((pair for pair in entries.items() if len(pair[1]) <= ENTRY_BYTES), _BYTES_A_TIME):
                arguments: list[bytes | int] = [limit, *(part for pair in some for part in pair)]
                FACTS_BYTES.set(int(await self._keep(keys=_NAMES, args=arguments)))

    async def _room(self) -> int:
        """How large the cache may be by now."""
        memory = await self._redis.info("memory")
        most = int(memory["maxmemory"])
        if not most:
            return self._limit
        others = int(memory["used_memory"]) - int(await self._redis.get(_NAMES[2]) or 0)
        return max(0, min(self._limit, most // 2 - others))


@asynccontextmanager
async def _forgiven(operation: str, seconds: float) -> AsyncIterator[None]:
    """The cache may be away, slow, full or not allowed: that costs time, and is no fault of a job's."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except (RedisError, OSError, TimeoutError) as error:
        FACTS_FAULTS.labels(operation).inc()
        log.debug("facts_cache.unavailable", operation=operation, reason=f"{type(error).__name__}: {error}")


def _slices(items: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _portions(pairs: Iterable[tuple[bytes, bytes]], most: int) -> Iterator[list[tuple[bytes, bytes]]]:
    """Groups of about `most` bytes, none of them empty."""
    rest = iter(pairs)
    while portion := list(islice(rest, 1)):
        size = len(portion[0][1])
        while size < most and (pair := next(rest, None)):
            portion.append(pair)
            size += len(pair[1]) + _OVERHEAD
        yield portion
