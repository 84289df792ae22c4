"""Registry of running workers in Redis: an expiring entry for each, and a channel for control commands.

Entries are information for operators. No decision about a job depends on them.
"""

import json
from collections.abc import AsyncIterator
from contextlib import suppress

from redis.asyncio import Redis

from domain.workers import WorkerInfo
from infrastructure.redis.queue import redis_errors

ENTRY_TTL_SECONDS = 45
"""A worker that has not registered again for so long is no longer listed."""

DRAIN = "drain"
ALL_WORKERS = "*"


class WorkerRegistry:
    """Lists workers and carries control commands to them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        # A server's numbered databases share their channels, and each may serve another fleet.
        self.channel = f"vibe8:orders:{redis.connection_pool.connection_kwargs.get('db', 0)}"

    async def register(self, worker: WorkerInfo) -> None:
        """Write or renew the worker's entry. Raises ServiceUnavailableError."""
        async with redis_errors():
            await self._redis.set(_key(worker.replica_id), json.dumps(worker.to_json()), ex=ENTRY_TTL_SECONDS)

    async def remove(self, replica_id: str) -> None:
        """Delete the worker's entry. Raises ServiceUnavailableError."""
        async with redis_errors():
            await self._redis.delete(_key(replica_id))

    async def workers(self) -> list[WorkerInfo]:
        """Return all registered workers, sorted by host and start time. Raises ServiceUnavailableError."""
        async with redis_errors():
            keys = [key async for key in self._redis.scan_iter(match=_key("*"), count=500)]
            values = await self._redis.mget(keys) if keys else []
        found = []
        for value in values:
            with suppress(ValueError, KeyError, TypeError):  # expired since the scan, or written by another version
                found.append(WorkerInfo.from_json(json.loads(value or "null")))
        return sorted(found, key=lambda worker: (worker.host, worker.started_at))

    async def send_command(self, command: str, replica_id: str = ALL_WORKERS) -> int:
        """Send a command to one worker, or to all. Returns how many subscribers there are to receive it.

        Raises ServiceUnavailableError.
        """
        async with redis_errors():
            message = json.dumps({"command": command, "replica_id": replica_id})
            return int(await self._redis.publish(self.channel, message))

    async def commands(self, replica_id: str) -> AsyncIterator[str]:
        """Yield the commands for this worker, from now on. Raises ServiceUnavailableError."""
        async with redis_errors():
            pubsub = self._redis.pubsub(ignore_subscribe_messages=True)
            try:
                await pubsub.subscribe(self.channel)
                async for message in pubsub.listen():
                    command = json.loads(message["data"])
                    if command.get("replica_id") in (replica_id, ALL_WORKERS):
                        yield str(command.get("command"))
            finally:
                await pubsub.aclose()  # type: ignore[no-untyped-call]


def _key(replica_id: str) -> str:
    return f"vibe8:replica:{replica_id}"
