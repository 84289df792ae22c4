"""Registry of running workers in Redis: an expiring entry for each, their reports, and a channel for control commands.

Entries are information for operators. Reports are half of the decision that a worker is dead: see
`worker.jobs.dead_workers`. They are a sorted set: worker and the start of the server that holds its session lock, by
the time of the last report, by Redis' own clock. A worker without its lock reports nothing.
"""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Self

from redis.asyncio import Redis

from domain.text import one_line
from domain.workers import LOST, LOST_SECONDS, WorkerInfo
from infrastructure.redis.queue import redis_errors
from infrastructure.redis.untrusted_values import KEEP_TYPE, MAX_OBJECT_BYTES, read_object

ENTRY_TTL_SECONDS = 45
"""A worker that has not registered again for so long is no longer listed."""

REPORTS_KEY = "vibe8:alive"
FORGET_SECONDS = 60
"""A report is removed after so long: by then the lease of any job has decided."""

DRAIN = "drain"
ALL_WORKERS = "*"

MAX_ENTRIES = 10_000
"""More entries, or reports at a time, are not read."""

_NOW = "local time = redis.call('TIME'); local now = time[1] * 1000 + math.floor(time[2] / 1000)"
_REPORT = f"{KEEP_TYPE}; keep_type(KEYS[1], 'zset'); {_NOW}; redis.call('ZADD', KEYS[1], now, ARGV[1])"
_SILENT = f"""
{KEEP_TYPE}
keep_type(KEYS[1], 'zset')
{_NOW}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - {FORGET_SECONDS * 1000})
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1], 'LIMIT', 0, {MAX_ENTRIES})
"""


@dataclass(frozen=True, slots=True, order=True)
class Report:
    """A worker's report that it lives and holds its session lock, on the server that started at `server`."""

    replica_id: str
    server: int
    """Microseconds since 1970."""

    def to_text(self) -> str:
        """Return the report as Redis keeps it."""
        return f"{self.replica_id}:{self.server}"

    @classmethod
    def from_text(cls, value: bytes) -> Self:
        """Read a report. Raises ValueError for one that PostgreSQL could not be asked about: another program's."""
        replica_id, _, text = value.decode().rpartition(":")
        server = int(text)
        if not replica_id.isprintable() or not 0 <= server < 2**63:
            raise ValueError("not a report")
        return cls(replica_id, server)


class WorkerRegistry:
    """Lists workers, keeps their reports, and carries control commands to them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._report = redis.register_script(_REPORT)
        self._silent = redis.register_script(_SILENT)
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

    async def report(self, report: Report) -> None:
        """Note that the worker lives now. Raises ServiceUnavailableError."""
        async with redis_errors():
            await self._report(keys=[REPORTS_KEY], args=[report.to_text()])

    async def withdraw(self, report: Report) -> None:
        """Delete the worker's report. Raises ServiceUnavailableError."""
        async with redis_errors():
            await self._redis.zrem(REPORTS_KEY, report.to_text())

    async def silent(self, seconds: float) -> list[Report]:
        """Return the reports that were not repeated for so long, sorted. Raises ServiceUnavailableError."""
        async with redis_errors():
            values = await self._silent(keys=[REPORTS_KEY], args=[round(seconds * 1000)])
        found = []
        for value in values:
            with suppress(ValueError):  # written by another program
                found.append(Report.from_text(value))
        return sorted(found)

    async def workers(self) -> list[WorkerInfo]:
        """Return all registered workers, sorted by host and start time. Raises ServiceUnavailableError.

        Those that have not renewed their entry for LOST_SECONDS, by Redis' clock, are LOST.
        """
        keys = set[bytes]()
        async with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            async for key in self._redis.scan_iter(match=_key("*"), count=500):
                keys.add(key)
                if len(keys) >= MAX_ENTRIES:
                    break
            for key in keys:
                pipe.getrange(key, 0, MAX_OBJECT_BYTES)
                pipe.pttl(key)
            answers = await pipe.execute(raise_on_error=False)  # a key of the wrong type is skipped
        found = []
        for value, milliseconds in zip(answers[::2], answers[1::2], strict=True):
            entry = read_object(value)
            with suppress(ValueError):  # another version's
                if entry is not None:  # neither expired since the scan nor written by another program
                    worker = WorkerInfo.from_json(entry)
                    lost = milliseconds < (ENTRY_TTL_SECONDS - LOST_SECONDS) * 1000
                    found.append(replace(worker, state=LOST) if lost else worker)
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
                    command = read_object(message["data"]) or {}  # another program's messages are skipped
                    if command.get("replica_id") in (replica_id, ALL_WORKERS):
                        yield one_line(str(command.get("command")), 80)
            finally:
                await pubsub.aclose()  # type: ignore[no-untyped-call]


def _key(replica_id: str) -> str:
    return f"vibe8:replica:{replica_id}"
