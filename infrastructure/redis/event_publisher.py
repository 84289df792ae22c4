"""Publisher of the events of jobs. Events that come while others are being sent share the next round trip."""

import asyncio
import json
from collections import deque
from collections.abc import Mapping

import structlog
from redis.asyncio import Redis

from domain.errors import ServiceUnavailableError
from domain.text import JSON
from infrastructure.redis.queue import job_channel, redis_errors

MAX_WAITING = 1_000
"""Limit on events that wait for Redis. More are dropped: an event is a hint, and watchers also read the row."""

MAX_EVENTS = 100
"""Most events of one round trip."""

_PUBLISH = "for i = 1, #ARGV, 2 do redis.call('PUBLISH', ARGV[i], ARGV[i + 1]) end"
"""Publishes the events of channels and messages in turn: redis-py takes longer for as many commands."""

log = structlog.get_logger(__name__)


class EventPublisher:
    """Publishes events in the background. Without a round trip under way, it sends at once."""

    def __init__(self, redis: Redis) -> None:
        self._publish = redis.register_script(_PUBLISH)
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._sender: asyncio.Task[None] | None = None

    def publish(self, job_id: str, event: Mapping[str, JSON]) -> None:
        """Publish the event on the job's channel soon. Returns at once; errors are only logged."""
        if len(self._waiting) >= MAX_WAITING:
            return
        self._waiting.append((job_channel(job_id), json.dumps(event, allow_nan=False).encode()))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_all())

    async def flush(self) -> None:
        """Wait until all events are sent or have failed."""
        if self._sender is not None:
            await asyncio.gather(self._sender, return_exceptions=True)

    async def _send_all(self) -> None:
        while self._waiting:
            events = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_EVENTS))]
            try:
                async with redis_errors():
                    await self._publish(args=[part for event in events for part in event])
            except ServiceUnavailableError:
                log.debug("job.end_publish_failed", jobs=len(events))
