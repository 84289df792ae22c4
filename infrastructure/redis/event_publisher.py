"""Publisher of the ends of jobs: events and counts. Those that come while others are sent share the next round trip."""

import asyncio
import json
from collections import Counter, deque
from collections.abc import Mapping

import structlog
from redis.asyncio import Redis

from domain.errors import ServiceUnavailableError
from domain.statistics.ends import Outcome
from domain.text import JSON
from infrastructure.redis.end_counts import KEPT_SECONDS, minute_key
from infrastructure.redis.queue import job_channel, redis_errors
from infrastructure.redis.untrusted_values import KEEP_TYPE

MAX_WAITING = 1_000
"""Limit on events that wait for Redis. More are dropped: an event is a hint, and watchers also read the row."""

MAX_EVENTS = 100
"""Most events of one round trip."""

_PUBLISH = f"""
{KEEP_TYPE}
local events = 3 + 2 * tonumber(ARGV[2])
for i = events, #ARGV, 2 do redis.call('PUBLISH', ARGV[i], ARGV[i + 1]) end
if events == 3 then return end
keep_type(KEYS[1], 'hash')
for i = 3, events - 1, 2 do redis.pcall('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[1])
"""
"""Publishes the events of channels and messages in turn: redis-py takes longer for as many commands.

Before them come the seconds for which this minute's numbers are kept, how many outcomes there are, and these with how
many jobs ended so. A field that another program has spoilt stays.
"""

log = structlog.get_logger(__name__)


class EventPublisher:
    """Publishes events in the background. Without a round trip under way, it sends at once."""

    def __init__(self, redis: Redis) -> None:
        self._publish = redis.register_script(_PUBLISH)
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._ends = Counter[Outcome]()
        self._sender: asyncio.Task[None] | None = None

    def publish(self, job_id: str, event: Mapping[str, JSON], outcome: Outcome | None = None) -> None:
        """Publish the event on the job's channel soon, and count the end. Returns at once; errors are only logged."""
        if outcome is not None:
            self._ends[outcome] += 1
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
            ends, self._ends = self._ends, Counter()
            try:
                async with redis_errors():
                    parts = [part for event in events for part in event]
                    counts = [part for end in ends.items() for part in end]
                    await self._publish(keys=[minute_key()], args=[KEPT_SECONDS, len(ends), *counts, *parts])
            except ServiceUnavailableError:
                log.debug("job.end_publish_failed", jobs=len(events))
