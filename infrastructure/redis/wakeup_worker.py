"""The ear: ARQ's worker, asked to answer rings at once and to waste no question on Redis."""

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

RINGS_AT_ONCE = 128
REST_SECONDS = 0.01
"""Between two looks: rings that come close together are answered by one."""

GRACE_SECONDS = 1.0
"""For starting what has been found, when the worker is told to end."""

log = structlog.get_logger(__name__)


class WakeupWorker(Worker):
    """ARQ's worker, save that it ends over no id in the queue that is no text, and asks only for what may be free.

    A ring stays in the queue until it has been answered, and ARQ asks Redis three times for each one of those that are
    being answered whenever it looks for another: with all slots busy, some 60 questions a job. Whatever it finds it
    begins at once, and what it has no slot for it begins, unless somebody else has, when one is free. It looks each
    `poll_delay`, and at once when it hears the bell; a bell that nobody heard costs that delay.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """As ARQ's."""
        super().__init__(*arguments, **options)
        self._rung = asyncio.Event()
        self._full = False
        self._next: list[bytes] = []
        """Rings that nobody answered when we last looked."""

    async def main(self) -> None:
        """Until cancelled. Raises what Redis raises when it goes away."""
        ears: list[asyncio.Task[None]] = []
        prepare = self.on_startup

        async def startup(ctx: dict[Any, Any]) -> None:
            ears.extend(asyncio.create_task(ear()) for ear in (self._hear, self._answer))
            if prepare is not None:
                await prepare(ctx)

        self.on_startup = startup  # ARQ has connected by then
        try:
            await super().main()
        finally:
            for ear in ears:
                ear.cancel()
            await asyncio.gather(*ears, return_exceptions=True)

    async def _hear(self) -> None:
        while True:
            try:
                async with self.pool.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(wakeup_channel(self.pool))
                    async for _ in pubsub.listen():
                        self._rung.set()
            except (RedisError, OSError):
                log.debug("queue.subscription_lost")
            await asyncio.sleep(self.poll_delay_s)

    async def _answer(self) -> None:
        while True:
            await self._rung.wait()
            self._rung.clear()
            try:
                await self._look()
            except (RedisError, OSError):
                log.debug("queue.poll_failed")
            await asyncio.sleep(REST_SECONDS)

    async def _look(self) -> None:
        """What ARQ does first each time: its ends of finished tasks, and their errors, stay its own."""
        if self._next and self._may_begin():
            await self._begin(self._next)
        page = RINGS_AT_ONCE + len(self.tasks)
        for start in range(0, self.queue_read_limit, page):
            if not self._may_begin():
                break
            rings = await self.pool.zrangebyscore(
                self.queue_name, min=float("-inf"), max=timestamp_ms(), start=start, num=page
            )
            await self.start_jobs(rings)
            if len(rings) < page:
                break

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Answer the rings of these ids; what is no id of ours is taken out of the queue."""
        unreadable = [job_id for job_id in job_ids if not _is_text(job_id)]
        if unreadable:
            log.warning("queue.entries_dropped", count=len(unreadable))
            await self.pool.zrem(self.queue_name, *unreadable)
        await self._begin(await self._not_in_progress([job_id for job_id in job_ids if job_id not in unreadable]))

    def _may_begin(self) -> bool:
        return self.allow_pick_jobs and self.job_counter < self.max_jobs

    async def _begin(self, rings: Sequence[bytes]) -> None:
        """As many as there are slots for; not left off half-way when the worker is told to end."""
        starting = asyncio.ensure_future(self._start(rings))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            # Left off half-way, a ring would be marked as answered, by nobody, and a connection would be lost.
            await asyncio.wait({starting}, timeout=GRACE_SECONDS)
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            raise

    async def _start(self, rings: Sequence[bytes]) -> None:
        """As ARQ does, which asks Redis four times for each: mark what nobody has marked, begin what still waits."""
        taken: list[str] = []
        for ring in rings:
            if not self._may_begin() or self.sem.locked():
                break
            await self.sem.acquire()
            self.job_counter += 1
            taken.append(ring.decode())
        self._next = list(rings[len(taken) :])
        begun: set[str] = set()
        try:
            marked, waiting = await self._mark(taken)
            for job_id, score in waiting.items():
                begun.add(job_id)
                self.tasks[job_id] = task = self.loop.create_task(self.run_job(job_id, score))
                task.add_done_callback(self._free)
            if left := marked - begun:  # answered and gone by now, or rung again for later
                await self.pool.delete(*(f"{in_progress_key_prefix}{ring}" for ring in left))
        finally:
            for _ in range(len(taken) - len(begun)):
                self._release_sem_dec_counter_on_complete()
            # Rings that somebody else was quicker to mark have left slots without one.
            self._full = self.job_counter >= self.max_jobs or bool(self._next)
            if self._next and self._may_begin():
                self._rung.set()

    def _free(self, _: object) -> None:
        """A slot is free. Where all were taken there may be more rings: look now, and not at the next look."""
        self._release_sem_dec_counter_on_complete()
        if self._full:
            self._rung.set()

    async def _mark(self, rings: Sequence[str]) -> tuple[set[str], dict[str, int]]:
        """Those that we have marked as being answered; and their scores, as far as they wait and are due."""
        if not rings:
            return set(), {}
        async with self.pool.pipeline(transaction=True) as pipe:
            for ring in rings:
                lifetime = int(self.in_progress_timeout_s * 1000)
                pipe.set(f"{in_progress_key_prefix}{ring}", b"1", nx=True, px=lifetime)
                pipe.zscore(self.queue_name, ring)
            answers = await pipe.execute()
        found = dict(zip(rings, zip(answers[::2], answers[1::2], strict=True), strict=True))
        ours = {ring: score for ring, (marked, score) in found.items() if marked}
        return set(ours), {ring: int(score) for ring, score in ours.items() if score and score <= timestamp_ms()}

    async def _not_in_progress(self, job_ids: Sequence[bytes]) -> list[bytes]:
        """Enough rings that nobody answers yet, by one question for many; shuffled, so that replicas rarely collide."""
        found: list[bytes] = []
        others = [job_id for job_id in job_ids if job_id.decode() not in self.tasks]
        for first in range(0, len(others), RINGS_AT_ONCE):
            some = others[first : first + RINGS_AT_ONCE]
            answered = await self.pool.mget([f"{in_progress_key_prefix}{job_id.decode()}" for job_id in some])
            found += [job_id for job_id, answer in zip(some, answered, strict=True) if answer is None]
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
