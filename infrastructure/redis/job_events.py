"""The events of jobs that are watched, over one connection to Redis however many these are."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from domain.errors import ServiceUnavailableError
from domain.jobs import JobStatus
from domain.text import JSON
from infrastructure.redis.queue import job_channel, redis_errors
from infrastructure.redis.untrusted_values import is_int, read_object

RETRY_SECONDS = 1.0
MAX_STAGE = 100
_STATUSES = frozenset(status.value for status in JobStatus)
_PREFIX = job_channel("").encode()

OnEvent = Callable[[str, Mapping[str, JSON] | None], None]
"""Gets the id of a job and its event. None: events before now may be lost, or the message is no event."""


class JobEvents:
    """The events of those jobs that were added, from then on. Used by the tasks of one event loop."""

    def __init__(self, redis: Redis, on_event: OnEvent) -> None:
        self._redis, self._on_event = redis, on_event
        self._wanted = set[str]()
        self._added, self._removed = set[str](), set[str]()
        self._changed = asyncio.Event()

    def add(self, job_id: str) -> None:
        """Subscribe to the job's events. `on_event` gets the id with None once they arrive."""
        self._wanted.add(job_id)
        self._removed.discard(job_id)
        self._added.add(job_id)
        self._changed.set()

    def remove(self, job_id: str) -> None:
        """Unsubscribe from the job's events."""
        self._wanted.discard(job_id)
        self._added.discard(job_id)
        self._removed.add(job_id)
        self._changed.set()

    async def run(self) -> None:
        """Deliver events until cancelled. Those that are published while Redis is away are lost."""
        while True:
            try:
                async with redis_errors(), self._redis.pubsub() as pubsub:
                    await self._deliver(pubsub)
            except ServiceUnavailableError:
                await asyncio.sleep(RETRY_SECONDS)

    async def _deliver(self, pubsub: PubSub) -> None:
        self._added, self._removed = set(self._wanted), set()
        await self._change_subscriptions(pubsub)
        reading = asyncio.create_task(self._read(pubsub))
        changing = asyncio.create_task(self._keep_changing(pubsub))
        try:
            await asyncio.wait((reading, changing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reading, changing):
                task.cancel()
            results = await asyncio.gather(reading, changing, return_exceptions=True)
        for error in results:
            if isinstance(error, Exception):
                raise error

    async def _keep_changing(self, pubsub: PubSub) -> None:
        while True:
            await self._change_subscriptions(pubsub)

    async def _change_subscriptions(self, pubsub: PubSub) -> None:
        """Wait for changes, and send all that there are in two commands."""
        while not self._added and not self._removed:
            self._changed.clear()
            await self._changed.wait()
        added, removed = self._added, self._removed
        self._added, self._removed = set(), set()
        if removed and pubsub.subscribed:
            await pubsub.unsubscribe([job_channel(job_id) for job_id in removed])
        if added:
            await pubsub.subscribe(*map(job_channel, added))

    async def _read(self, pubsub: PubSub) -> None:
        while True:
            message = await pubsub.get_message(timeout=None)
            if message is None or message["type"] not in ("message", "subscribe"):
                continue
            job_id = message["channel"].removeprefix(_PREFIX).decode()
            self._on_event(job_id, read_event(message["data"]) if message["type"] == "message" else None)


def read_event(data: Any) -> Mapping[str, JSON] | None:
    """Return the event of a message; None for one that another program has sent."""
    event = read_object(data) or {}
    status, stage = event.get("status"), event.get("stage")
    is_shown = is_int(event.get("progress"), 101) and (stage is None or _is_stage(stage))
    is_event = isinstance(status, str) and status in _STATUSES and (status != JobStatus.RUNNING or is_shown)
    return event if is_event else None


def _is_stage(stage: Any) -> bool:
    return isinstance(stage, str) and len(stage) <= MAX_STAGE and stage.isprintable()
