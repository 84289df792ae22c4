"""The replicas as they see each other through Redis: a health key each, and a channel for orders. Hints, not truths."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress

from redis.asyncio import Redis

from domain.workers import WorkerInfo
from infrastructure.redis.queue import redis_errors

ENTRY_TTL_SECONDS = 45
"""A replica that has not reported for so long is not listed any more."""

DRAIN = "drain"
ALL_WORKERS = "*"


class WorkerRegistry:
    """Health keys and orders."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        # Channels, unlike keys, are shared by all numbered databases of a server: another fleet may live there.
        self.channel = f"vibe8:orders:{redis.connection_pool.connection_kwargs.get('db', 0)}"

    async def register(self, replica: WorkerInfo) -> None:
        """Say that the replica lives. Raises ServiceUnavailableError."""
        async with redis_errors():
            await self._redis.set(_key(replica.replica_id), json.dumps(replica.to_json()), ex=ENTRY_TTL_SECONDS)

    async def remove(self, replica_id: str) -> None:
        """Say that it has ended. Raises ServiceUnavailableError."""
        async with redis_errors():
            await self._redis.delete(_key(replica_id))

    async def workers(self) -> list[WorkerInfo]:
        """All that have reported lately, by host and age. Raises ServiceUnavailableError."""
        async with redis_errors():
            keys = [key async for key in self._redis.scan_iter(match=_key("*"), count=500)]
            values = await self._redis.mget(keys) if keys else []
        found = []
        for value in values:
            with suppress(ValueError, KeyError, TypeError):  # gone meanwhile, or another version's
                found.append(WorkerInfo.from_json(json.loads(value or "null")))
        return sorted(found, key=lambda replica: (replica.host, replica.started_at))

    async def send_command(self, command: str, replica_id: str = ALL_WORKERS) -> int:
        """Tell a replica, or everyone; how many listened. Raises ServiceUnavailableError."""
        async with redis_errors():
            message = json.dumps({"command": command, "replica_id": replica_id})
            return int(await self._redis.publish(self.channel, message))

    async def commands(self, replica_id: str) -> AsyncIterator[str]:
        """The commands that are meant for the replica, from now on. Raises ServiceUnavailableError."""
        async with redis_errors():
            pubsub = self._redis.pubsub(ignore_subscribe_messages=True)
            try:
                await pubsub.subscribe(self.channel)
                async for message in pubsub.listen():
                    order = json.loads(message["data"])
                    if order.get("replica_id") in (replica_id, ALL_WORKERS):
                        yield str(order.get("command"))
            finally:
                await pubsub.aclose()  # type: ignore[no-untyped-call]


def _key(replica_id: str) -> str:
    return f"vibe8:replica:{replica_id}"
