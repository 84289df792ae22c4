"""ARQ worker whose tasks are wake-ups. It starts them when a pub/sub message arrives, and else when ARQ polls."""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from arq.utils import timestamp_ms
from arq.worker import Worker
from redis.exceptions import RedisError

from infrastructure.redis.queue import wakeup_channel

log = structlog.get_logger(__name__)


class WakeupWorker(Worker):
    """ARQ's worker with three additions.

    It looks into the queue when a message arrives on the wake-up channel, besides every `poll_delay`. It takes no more
    entries than `wakeups_wanted()`, so that the others are left to workers that have room. It removes entries whose id
    is not UTF-8 text, which end ARQ's own worker.
    """

    def __init__(self, *arguments: Any, wakeups_wanted: Callable[[], int], **options: Any) -> None:
        """As ARQ's, and how many entries this worker could do anything with just now."""
        self._wakeups_wanted = wakeups_wanted
        super().__init__(*arguments, **options)

    @property
    def _wanted(self) -> int:
        return self._wakeups_wanted() - self.job_counter

    @property
    def allow_pick_jobs(self) -> bool:
        """ARQ asks this before it looks into the queue."""
        return self._picking and self._wanted > 0

    @allow_pick_jobs.setter
    def allow_pick_jobs(self, value: bool) -> None:
        self._picking = value

    async def main(self) -> None:
        """Work until cancelled. Raises what Redis raises when it goes away."""
        subscriber: asyncio.Task[None] | None = None
        on_startup = self.on_startup

        async def startup(ctx: dict[Any, Any]) -> None:
            nonlocal subscriber
            subscriber = asyncio.create_task(self._subscribe())  # ARQ has connected by now
            if on_startup is not None:
                await on_startup(ctx)

        self.on_startup = startup
        try:
            await super().main()
        finally:
            if subscriber is not None:
                subscriber.cancel()
                await asyncio.gather(subscriber, return_exceptions=True)

    async def _subscribe(self) -> None:
        while True:
            try:
                async with self.pool.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(wakeup_channel(self.pool))
                    async for _ in pubsub.listen():
                        await self._start_due()
            except (RedisError, OSError):
                log.debug("queue.subscription_lost")
            await asyncio.sleep(self.poll_delay_s)

    async def _start_due(self) -> None:
        if self.allow_pick_jobs and self.job_counter < self.max_jobs:
            ids = await self.pool.zrangebyscore(
                self.queue_name, min=float("-inf"), max=timestamp_ms(), start=0, num=self.queue_read_limit
            )
            await self.start_jobs(ids)

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Start as many of these entries as are wanted; remove from the queue those whose id is not UTF-8."""
        readable = [job_id for job_id in job_ids if _is_text(job_id)]
        if unreadable := [job_id for job_id in job_ids if job_id not in readable]:
            log.warning("queue.entries_unreadable", count=len(unreadable))
            await self.pool.zrem(self.queue_name, *unreadable)
        await super().start_jobs(readable[: max(0, self._wanted)])


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
