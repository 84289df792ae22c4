"""The cache of facts on a Redis: shared, limited in size, and without errors if Redis fails."""

from collections.abc import Mapping

import pytest
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from infrastructure.observability.prometheus_metrics import FACTS_CACHE_ERRORS, FACTS_CACHE_LOOKUPS
from infrastructure.redis.facts_cache import CACHE_KEYS, ENTRY_OVERHEAD_BYTES, MAX_ENTRY_BYTES, RedisFactsCache

MB = 1 << 20


def entries(first: int, count: int, size: int = 100) -> dict[bytes, bytes]:
    return {b"%020d" % number: b"x" * size for number in range(first, first + count)}


async def stored_bytes(redis: Redis) -> int:
    """Return the size of all entries by the cache's own rule, and check the cache's count."""
    stored: Mapping[bytes, bytes] = await redis.hgetall(CACHE_KEYS[0])  # type: ignore[misc]
    assert set(stored) == set(await redis.zrange(CACHE_KEYS[1], 0, -1))
    size = sum(len(entry) + ENTRY_OVERHEAD_BYTES for entry in stored.values())
    assert int(await redis.get(CACHE_KEYS[2]) or 0) == size
    return size


async def test_entries_are_found_by_another_worker(redis: Redis) -> None:
    some = entries(0, 1000)
    await RedisFactsCache(redis, MB).put(some)
    asked = [*some, *entries(5000, 10)]
    assert await RedisFactsCache(redis, MB).get(asked) == some
    assert await stored_bytes(redis) == 1000 * (100 + ENTRY_OVERHEAD_BYTES)


async def test_size_is_limited_and_the_least_recently_used_entries_go_first(redis: Redis) -> None:
    limit = 100 * (100 + ENTRY_OVERHEAD_BYTES)
    cache = RedisFactsCache(redis, limit)
    await cache.put(entries(0, 100))
    assert await stored_bytes(redis) == limit
    await redis.zadd(CACHE_KEYS[1], dict.fromkeys(entries(0, 100), 1))
    wanted = entries(20, 10)
    assert await cache.get(list(wanted)) == wanted  # used just now
    await cache.put(entries(1000, 60))
    assert await stored_bytes(redis) <= limit
    assert await cache.get(list(wanted)) == wanted
    assert await cache.get(list(entries(1000, 60))) == entries(1000, 60)


async def test_an_entry_replaces_the_one_of_the_same_digest(redis: Redis) -> None:
    cache = RedisFactsCache(redis, MB)
    for size in (10, 1000, 0, 100):
        await cache.put(entries(0, 5, size))
        await stored_bytes(redis)
    assert await cache.get(list(entries(0, 5))) == entries(0, 5)


async def test_large_entries_are_not_stored(redis: Redis) -> None:
    cache = RedisFactsCache(redis, 100 * MB)
    await cache.put({b"large": b"x" * (MAX_ENTRY_BYTES + 1), b"small": b"x"})
    assert await cache.get([b"large", b"small"]) == {b"small": b"x"}
    tiny = RedisFactsCache(redis, 100)
    await tiny.put({b"other": b"x"})
    assert await tiny.get([b"other", b"small"]) == {}  # the limit of the last writer counts
    assert await stored_bytes(redis) == 0


@pytest.mark.parametrize("lost", CACHE_KEYS)
async def test_the_size_is_right_after_the_loss_of_a_key(redis: Redis, lost: str) -> None:
    cache = RedisFactsCache(redis, MB)
    await cache.put(entries(0, 50))
    await redis.delete(lost)
    await cache.get(list(entries(0, 50)))
    await cache.put(entries(100, 5))
    assert await cache.get(list(entries(100, 5))) == entries(100, 5)
    await stored_bytes(redis)


async def test_the_cache_may_be_emptied_at_any_time(redis: Redis) -> None:
    cache = RedisFactsCache(redis, MB)
    await cache.put(entries(0, 5))
    await redis.flushdb()
    await redis.script_flush()
    assert await cache.get(list(entries(0, 5))) == {}
    await cache.put(entries(0, 5))
    assert await stored_bytes(redis) == 5 * (100 + ENTRY_OVERHEAD_BYTES)


async def test_half_of_maxmemory_is_left_to_the_queue(redis: Redis) -> None:
    cache = RedisFactsCache(redis, 1000 * MB)
    await cache.put(entries(0, 10, 1000))
    used = int((await redis.info("memory"))["used_memory"])
    await redis.config_set("maxmemory", used)  # other keys alone take more than half
    try:
        await cache.put(entries(10, 10, 1000))
        assert await stored_bytes(redis) == 0
        await redis.config_set("maxmemory", used + 100 * MB)
        await cache.put(entries(10, 10, 1000))
        assert await stored_bytes(redis) == 10 * (1000 + ENTRY_OVERHEAD_BYTES)
    finally:
        await redis.config_set("maxmemory", 0)


async def test_entries_are_removed_when_redis_is_full(redis: Redis) -> None:
    cache = RedisFactsCache(redis, 1000 * MB)
    await cache.put(entries(0, 10, 1000))
    await redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(OutOfMemoryError):
            await redis.set("a", "b")
        await cache.put(entries(10, 10, 1000))
        assert await stored_bytes(redis) == 0
    finally:
        await redis.config_set("maxmemory", 0)


async def test_errors_of_redis_are_counted_and_not_raised(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = RedisFactsCache(redis, MB)
    monkeypatch.setattr(cache, "_get", redis.register_script("return redis.error_reply('ERR broken')"))
    faults = FACTS_CACHE_ERRORS.labels("get")._value.get()
    assert await cache.get(list(entries(0, 10))) == {}
    assert FACTS_CACHE_ERRORS.labels("get")._value.get() == faults + 1
    await cache.put(entries(0, 10))
    assert await stored_bytes(redis) == 10 * (100 + ENTRY_OVERHEAD_BYTES)


async def test_without_redis_all_look_ups_miss_and_nothing_is_raised() -> None:
    async with Redis.from_url("redis://127.0.0.1:1/0") as unreachable:
        cache = RedisFactsCache(unreachable, MB)
        misses = FACTS_CACHE_LOOKUPS.labels("miss")._value.get()
        assert await cache.get(list(entries(0, 5))) == {}
        await cache.put(entries(0, 5))
    assert FACTS_CACHE_LOOKUPS.labels("miss")._value.get() == misses + 5
