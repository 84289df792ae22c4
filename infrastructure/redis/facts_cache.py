"""Cache of facts about files, shared by all workers, in the queue's Redis. Implements `domain.ports.FactsCache`.

That Redis must evict nothing by itself, because the queue is in it. So the cache keeps its own limit and removes the
entries that were not used for the longest time. Deleting its three keys empties it:

    vibe8:facts        hash: digest -> entry
    vibe8:facts:used   sorted set: digest by the time of its last use
    vibe8:facts:bytes  size of all entries, as counted here

Each script is atomic, so that the count is right however many workers write. If one of the keys is lost, the others are
deleted. If Redis has a `maxmemory`, the cache also leaves half of it to the queue: it shrinks when the queue grows, so
that no wake-up is refused for lack of memory.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from infrastructure.observability.prometheus_metrics import FACTS_CACHE_BYTES, FACTS_CACHE_ERRORS, FACTS_CACHE_LOOKUPS
from infrastructure.redis.untrusted_values import KEEP_TYPE

GET_SECONDS = 2.0
PUT_SECONDS = 5.0
"""A call that takes longer is given up: computing the facts again takes little longer than that."""

MAX_GET_BYTES = 64 << 20
"""Approximate limit on the entries that one `get` returns. Entries beyond it count as not cached."""

MAX_ENTRY_BYTES = 4 << 20
"""Larger entries are not cached."""

_BATCH_KEYS = 256
_BATCH_BYTES = 1 << 20
"""Batches are small because Redis runs one command at a time, and wake-ups wait meanwhile."""

ENTRY_OVERHEAD_BYTES = 256
"""Approximate bytes per entry beside its content: its digest twice, an element of the hash and one of the set."""

CACHE_KEYS = ("vibe8:facts", "vibe8:facts:used", "vibe8:facts:bytes")

_KEEP_TYPES = f"""{KEEP_TYPE}
keep_type(KEYS[1], 'hash')
keep_type(KEYS[2], 'zset')
keep_type(KEYS[3], 'string')
"""

_GET = f"""{_KEEP_TYPES}
local found = redis.call('HMGET', KEYS[1], unpack(ARGV))
local now = redis.call('TIME')[1]
local used = {{}}
for place = 1, #ARGV do
  if found[place] then
    used[#used + 1] = now
    used[#used + 1] = ARGV[place]
  end
end
if #used > 0 then redis.call('ZADD', KEYS[2], unpack(used)) end
return found
"""

_COUNT = f"""{_KEEP_TYPES}
local total = tonumber(redis.call('GET', KEYS[3]) or '0') or -1
if total >= 0 and total < 2 ^ 53 then return string.format('%d', total) end
redis.call('DEL', unpack(KEYS))
return '0'
"""
"""Return the size of the cache. If another program has written what cannot be one, the cache is emptied."""

_PUT = f"""
local overhead, limit = {ENTRY_OVERHEAD_BYTES}, tonumber(ARGV[1])
local total = tonumber(redis.call('GET', KEYS[3]) or '0')
local function remove(digest)
  local size = redis.call('HSTRLEN', KEYS[1], digest)
  if redis.call('HDEL', KEYS[1], digest) > 0 then total = total - size - overhead end
end
if redis.call('EXISTS', unpack(KEYS)) < 3 then
  redis.call('DEL', unpack(KEYS))
  total = 0
end
local incoming = 0
for place = 2, #ARGV, 2 do
  remove(ARGV[place])
  redis.call('ZREM', KEYS[2], ARGV[place])
  incoming = incoming + #ARGV[place + 1] + overhead
end
while total > 0 and total + incoming > limit do
  local oldest = redis.call('ZPOPMIN', KEYS[2], 16)
  if #oldest == 0 then
    redis.call('DEL', KEYS[1])
    total = 0
  end
  for place = 1, #oldest, 2 do remove(oldest[place]) end
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
    """Cache of at most `limit_bytes` in all. If workers have different limits, each write applies its worker's."""

    def __init__(self, redis: Redis, limit_bytes: int) -> None:
        self._redis = redis
        self._limit = limit_bytes
        self._get = redis.register_script(_GET)
        self._count = redis.register_script(_COUNT)
        self._put = redis.register_script(_PUT)

    async def get(self, digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Return the cached entries (see `domain.ports.FactsCache.get`), in batches of 256 digests."""
        found: dict[bytes, bytes] = {}
        size = 0
        async with _ignoring_faults("get", GET_SECONDS):
            for some in _slices(digests, _BATCH_KEYS):
                if size > MAX_GET_BYTES:
                    break
                answers: list[Any] = await self._get(keys=CACHE_KEYS, args=some)
                known = {digest: entry for digest, entry in zip(some, answers, strict=True) if entry is not None}
                size += sum(map(len, known.values()))
                found |= known
        FACTS_CACHE_LOOKUPS.labels("hit").inc(len(found))
        FACTS_CACHE_LOOKUPS.labels("miss").inc(len(digests) - len(found))
        return found

    async def put(self, entries: Mapping[bytes, bytes]) -> None:
        """Store the entries (see `domain.ports.FactsCache.put`), in batches of about 1 MB."""
        async with _ignoring_faults("put", PUT_SECONDS):
            limit = await self._current_limit()
            for some in _batches((pair for pair in entries.items() if len(pair[1]) <= MAX_ENTRY_BYTES), _BATCH_BYTES):
                arguments: list[bytes | int] = [limit, *(part for pair in some for part in pair)]
                FACTS_CACHE_BYTES.set(int(await self._put(keys=CACHE_KEYS, args=arguments)))

    async def _current_limit(self) -> int:
        """Return the limit in bytes, lower than the configured one if other keys take much of `maxmemory`."""
        cached = int(await self._count(keys=CACHE_KEYS))
        memory = await self._redis.info("memory")
        maxmemory = int(memory["maxmemory"])
        if not maxmemory:
            return self._limit
        return max(0, min(self._limit, maxmemory // 2 - (int(memory["used_memory"]) - cached)))


@asynccontextmanager
async def _ignoring_faults(operation: str, seconds: float) -> AsyncIterator[None]:
    """Give up after so many seconds, and count and log errors: without the cache a job only takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except (RedisError, OSError, TimeoutError) as error:
        FACTS_CACHE_ERRORS.labels(operation).inc()
        log.debug("facts.cache_unavailable", operation=operation, reason=f"{type(error).__name__}: {error}")


def _slices(items: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _batches(pairs: Iterable[tuple[bytes, bytes]], max_bytes: int) -> Iterator[list[tuple[bytes, bytes]]]:
    """Yield batches of about `max_bytes`, none of them empty."""
    rest = iter(pairs)
    while batch := list(islice(rest, 1)):
        size = len(batch[0][1])
        while size < max_bytes and (pair := next(rest, None)):
            batch.append(pair)
            size += len(pair[1]) + ENTRY_OVERHEAD_BYTES
        yield batch
