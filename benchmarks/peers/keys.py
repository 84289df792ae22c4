"""The Redis of the measurement. Each peer has a numbered database of its own."""

import os

from redis.asyncio import Redis


def url(number: int) -> str:
    """Return the address of the numbered database."""
    return os.environ.get("REDIS_URL", "redis://localhost:6379/0").rpartition("/")[0] + f"/{number}"


async def clear(address: str) -> None:
    """Remove all keys of the database."""
    async with Redis.from_url(address) as redis:
        await redis.flushdb()


async def values(address: str, pattern: str) -> list[bytes]:
    """Return the values of all string keys of that pattern."""
    async with Redis.from_url(address) as redis:
        names = [name async for name in redis.scan_iter(match=pattern, count=1_000)]
        found = await redis.mget(names) if names else []
    return [value for value in found if value is not None]
