"""ARQ worker that starts jobs on a pub/sub wake-up and batches its Redis queries."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import structlog
from arq.constants import in_progress_key_prefix
from arq.utils import timestamp_ms
from arq.worker import Worker
from redis.exceptions import RedisError

from infrastructure.redis.queue import wakeup_channel

BATCH = 128
"""Queue entries that one query asks about."""

MIN_POLL_INTERVAL_SECONDS = 0.01
"""Wake-ups that come closer together are handled by one poll."""

GRACE_SECONDS = 1.0
"""Time to finish starting the jobs of acquired entries when the worker is cancelled."""

log = structlog.get_logger(__name__)


class WakeupWorker(Worker):
    """ARQ's worker, with fewer queries and no crash on ids that are not UTF-8.

    An entry stays in the queue until its job has ended, and ARQ sends three commands for each entry in progress
    whenever it looks for another: with all slots busy, about 60 commands a job. This worker asks about many entries
    with one command, keeps those that it has no slot for, and starts them when a slot becomes free, unless another
    worker has. It polls at each wake-up, and each `poll_delay` in case a wake-up was lost.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take what ARQ's worker takes."""
        super().__init__(*arguments, **options)
        self._wakeup = asyncio.Event()
        self._poll_when_slot_frees = False
        self._backlog: list[bytes] = []
        """Entries of the last poll that were not in progress and found no free slot."""

    async def main(self) -> None:
        """Run until cancelled. Raises redis-py's errors when the connection to Redis is lost."""
        loops: list[asyncio.Task[None]] = []
        prepare = self.on_startup

        async def startup(ctx: dict[Any, Any]) -> None:
            loops.extend(asyncio.create_task(loop()) for loop in (self._subscribe, self._poll_on_wakeup))
            if prepare is not None:
                await prepare(ctx)

        self.on_startup = startup  # ARQ calls it when it is connected
        try:
            await super().main()
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)

    async def _subscribe(self) -> None:
        while True:
            try:
                async with self.pool.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(wakeup_channel(self.pool))
                    async for _ in pubsub.listen():
                        self._wakeup.set()
            except (RedisError, OSError):
                log.debug("queue.subscription_lost")
            await asyncio.sleep(self.poll_delay_s)

    async def _poll_on_wakeup(self) -> None:
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            try:
                await self._poll()
            except (RedisError, OSError):
                log.debug("queue.poll_failed")
            await asyncio.sleep(MIN_POLL_INTERVAL_SECONDS)

    async def _poll(self) -> None:
        """Start due entries, as the first half of ARQ's `_poll_iteration` does; ARQ itself collects ended tasks."""
        if self._backlog and self._may_start():
            await self._acquire_and_run(self._backlog)
        page = BATCH + len(self.tasks)
        for start in range(0, self.queue_read_limit, page):
            if not self._may_start():
                break
            entries = await self.pool.zrangebyscore(
                self.queue_name, min=float("-inf"), max=timestamp_ms(), start=start, num=page
            )
            await self.start_jobs(entries)
            if len(entries) < page:
                break

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Start these entries. ARQ calls this too. Entries whose id is not UTF-8 are dropped from the queue."""
        unreadable = [job_id for job_id in job_ids if not _is_text(job_id)]
        if unreadable:
            log.warning("queue.entries_dropped", count=len(unreadable))
            await self.pool.zrem(self.queue_name, *unreadable)
        readable = [job_id for job_id in job_ids if job_id not in unreadable]
        await self._acquire_and_run(await self._not_in_progress(readable))

    def _may_start(self) -> bool:
        return self.allow_pick_jobs and self.job_counter < self.max_jobs

    async def _acquire_and_run(self, entries: Sequence[bytes]) -> None:
        """Start as many entries as there are free slots, and finish doing so when cancelled.

        Cancelling half-way would leave entries acquired that nobody runs, and would lose a connection.
        """
        starting = asyncio.ensure_future(self._start(entries))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.wait({starting}, timeout=GRACE_SECONDS)
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            raise

    async def _start(self, entries: Sequence[bytes]) -> None:
        """Reserve slots, acquire the entries, and run those that still wait. ARQ needs four commands for each."""
        reserved: list[str] = []
        for entry in entries:
            if not self._may_start() or self.sem.locked():
                break
            await self.sem.acquire()
            self.job_counter += 1
            reserved.append(entry.decode())
        self._backlog = list(entries[len(reserved) :])
        started: set[str] = set()
        try:
            acquired, due = await self._acquire(reserved)
            for job_id, score in due.items():
                started.add(job_id)
                self.tasks[job_id] = task = self.loop.create_task(self.run_job(job_id, score))
                task.add_done_callback(self._release_slot)
            if left := acquired - started:  # these have ended meanwhile, or were deferred
                await self.pool.delete(*(f"{in_progress_key_prefix}{entry}" for entry in left))
        finally:
            for _ in range(len(reserved) - len(started)):
                self._release_sem_dec_counter_on_complete()
            # Entries that another worker acquired first leave their slots free.
            self._poll_when_slot_frees = self.job_counter >= self.max_jobs or bool(self._backlog)
            if self._backlog and self._may_start():
                self._wakeup.set()

    def _release_slot(self, _: object) -> None:
        """Release a slot. If all were taken, more entries may be due: poll now and not after `poll_delay`."""
        self._release_sem_dec_counter_on_complete()
        if self._poll_when_slot_frees:
            self._wakeup.set()

    async def _acquire(self, entries: Sequence[str]) -> tuple[set[str], dict[str, int]]:
        """Mark entries as in progress. Returns those that this call marked, and the scores of those that are due."""
        if not entries:
            return set(), {}
        async with self.pool.pipeline(transaction=True) as pipe:
            for entry in entries:
                lifetime = int(self.in_progress_timeout_s * 1000)
                pipe.set(f"{in_progress_key_prefix}{entry}", b"1", nx=True, px=lifetime)
                pipe.zscore(self.queue_name, entry)
            answers = await pipe.execute()
        found = dict(zip(entries, zip(answers[::2], answers[1::2], strict=True), strict=True))
        acquired = {entry: score for entry, (marked, score) in found.items() if marked}
        due = {entry: int(score) for entry, score in acquired.items() if score and score <= timestamp_ms()}
        return set(acquired), due

    async def _not_in_progress(self, job_ids: Sequence[bytes]) -> list[bytes]:
        """Return at least as many entries as there are slots, if that many are not in progress.

        They are shuffled, so that workers rarely try to acquire the same ones.
        """
        found: list[bytes] = []
        others = [job_id for job_id in job_ids if job_id.decode() not in self.tasks]
        for first in range(0, len(others), BATCH):
            some = others[first : first + BATCH]
            marks = await self.pool.mget([f"{in_progress_key_prefix}{job_id.decode()}" for job_id in some])
            found += [job_id for job_id, mark in zip(some, marks, strict=True) if mark is None]
            if len(found) >= self.max_jobs:
                break
        random.shuffle(found)
        return found


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
