"""ARQ worker whose tasks are wake-ups. It starts them when a pub/sub message arrives, and else when ARQ polls."""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from arq.constants import in_progress_key_prefix, job_key_prefix, retry_key_prefix
from arq.utils import timestamp_ms
from arq.worker import Worker
from redis.exceptions import RedisError, ResponseError

from infrastructure.observability.log_throttle import LogThrottle
from infrastructure.redis.queue import repair_queue, wakeup_channel

LOG_SECONDS = 60.0
REPAIR_SECONDS = 3.0

log = structlog.get_logger(__name__)


class WakeupWorker(Worker):
    """ARQ's worker with four additions.

    It looks into the queue when a message arrives on the wake-up channel, besides every `poll_delay`. It takes no more
    entries than `wakeups_wanted()`, so that the others are left to workers that have room. It removes entries whose id
    is not UTF-8 text, or whose keys have the wrong type: ARQ's own worker ends at those. It replaces a queue of the
    wrong type.
    """

    def __init__(self, *arguments: Any, wakeups_wanted: Callable[[], int], **options: Any) -> None:
        """As ARQ's, and how many entries this worker could do anything with just now."""
        self._wakeups_wanted = wakeups_wanted
        self._throttle = LogThrottle(LOG_SECONDS)
        self._repair_throttle = LogThrottle(REPAIR_SECONDS)
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
            await repair_queue(self.pool)  # ARQ has connected by now
            subscriber = asyncio.create_task(self._subscribe())
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

    async def _poll_iteration(self) -> None:
        try:
            await super()._poll_iteration()
        except ResponseError as error:
            if type(error) is not ResponseError:  # Redis is full, a replica, or loading
                raise
            if self._throttle.allows("key"):
                log.warning("queue.key_replaced", reason=str(error))
            await repair_queue(self.pool)

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Start as many of these entries as are wanted; remove from the queue those whose id is not UTF-8."""
        if job_ids and self._repair_throttle.allows():  # entries that ARQ never takes may be at the head of the queue
            await repair_queue(self.pool)
        readable = [job_id for job_id in job_ids if _is_text(job_id)]
        if unreadable := [job_id for job_id in job_ids if job_id not in readable]:
            self._warn_of_unreadable(len(unreadable))
            await self.pool.zrem(self.queue_name, *unreadable)
        await super().start_jobs(readable[: max(0, self._wanted)])

    async def run_job(self, job_id: str, score: int) -> None:
        """Run the entry; remove it if a key of it has the wrong type. An entry is a hint, so nothing is lost."""
        try:
            await super().run_job(job_id, score)
        except ResponseError as error:
            if type(error) is not ResponseError:
                raise
            self._warn_of_unreadable(1)
            prefixes = (job_key_prefix, retry_key_prefix, in_progress_key_prefix)
            await self.pool.delete(*(prefix + job_id for prefix in prefixes))
            await self.pool.zrem(self.queue_name, job_id)

    def _warn_of_unreadable(self, count: int) -> None:
        """Log at most once in LOG_SECONDS: whoever writes one such entry can write many."""
        if self._throttle.allows("entries"):
            log.warning("queue.entries_unreadable", count=count)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
