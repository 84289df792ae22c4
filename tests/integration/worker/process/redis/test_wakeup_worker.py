"""Wake-ups from Redis: when ARQ's worker takes queue entries, and which."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from arq import func
from arq.connections import ArqRedis

from infrastructure.redis.queue import (
    MAX_WAKEUPS,
    QUEUE_NAME,
    JobQueue,
    deserialize,
    redis_settings,
    serialize,
    wakeup_channel,
)
from infrastructure.redis.wakeup_worker import WakeupWorker

Started = Callable[[dict[str, Any], str], Awaitable[None]]


def new_worker(
    analyze: Started, redis: ArqRedis, redis_url: str, *, room: Callable[[], int] = lambda: 5, **options: Any
) -> WakeupWorker:
    return WakeupWorker(
        [func(analyze, name="analyze")],  # type: ignore[arg-type]
        wakeups_wanted=room,
        queue_name=QUEUE_NAME,
        redis_settings=redis_settings(redis_url),
        redis_pool=redis,
        handle_signals=False,
        max_jobs=5,
        job_timeout=10,
        job_serializer=serialize,
        job_deserializer=deserialize,
        **options,
    )


async def stop(running: asyncio.Task[None]) -> None:
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def until_subscribed(redis: ArqRedis) -> None:
    channel = wakeup_channel(redis)
    while dict(await redis.pubsub_numsub(channel)) != {channel.encode(): 1}:
        await asyncio.sleep(0.01)


async def test_wakeup_is_taken_without_a_poll(redis: ArqRedis, redis_url: str) -> None:
    started: asyncio.Queue[str] = asyncio.Queue()

    async def analyze(_: dict[str, Any], job_id: str) -> None:
        await started.put(job_id)

    worker = new_worker(analyze, redis, redis_url, poll_delay=3600)
    running = asyncio.create_task(worker.main())
    async with asyncio.timeout(60):
        await until_subscribed(redis)
        for number in range(20):
            await JobQueue(redis).enqueue([f"{number}"])
            assert await started.get() == f"{number}"
            while worker.job_counter:
                await asyncio.sleep(0.01)
    await stop(running)
    channel = wakeup_channel(redis)
    assert dict(await redis.pubsub_numsub(channel)) == {channel.encode(): 0}


async def test_worker_without_room_leaves_entries_to_others(redis: ArqRedis, redis_url: str) -> None:
    started: list[str] = []
    has_room = 0

    async def analyze(_: dict[str, Any], job_id: str) -> None:
        started.append(job_id)

    await JobQueue(redis).enqueue(["a"])
    worker = new_worker(analyze, redis, redis_url, room=lambda: has_room)
    await worker._poll_iteration()
    assert (worker.job_counter, await redis.zcard(QUEUE_NAME)) == (0, 1)
    has_room = 1
    await worker._poll_iteration()
    await asyncio.gather(*worker.tasks.values())
    assert started == ["a"]


async def test_worker_takes_no_more_entries_than_it_has_room_for(redis: ArqRedis, redis_url: str) -> None:
    async def analyze(_: dict[str, Any], job_id: str) -> None:
        await asyncio.Event().wait()

    await JobQueue(redis).enqueue(["a", "b", "c", "d"])
    worker = new_worker(analyze, redis, redis_url, room=lambda: 2)
    for _ in range(3):
        await worker._poll_iteration()
    assert len(worker.tasks) == 2
    for task in worker.tasks.values():
        task.cancel()
    await asyncio.gather(*worker.tasks.values(), return_exceptions=True)


async def test_entry_of_a_killed_worker_is_taken_again_within_its_short_time_limit(
    redis: ArqRedis, redis_url: str
) -> None:
    async def analyze(_: dict[str, Any], job_id: str) -> None:
        await asyncio.Event().wait()

    await JobQueue(redis).enqueue(["a"])
    worker = new_worker(analyze, redis, redis_url)
    await worker._poll_iteration()
    (entry,) = worker.tasks
    assert 0 < await redis.pttl(f"arq:in-progress:{entry}") <= 20_000
    for task in worker.tasks.values():
        task.cancel()
    await asyncio.gather(*worker.tasks.values(), return_exceptions=True)


async def test_entry_whose_id_is_not_utf_8_is_removed(redis: ArqRedis, redis_url: str) -> None:
    started: list[str] = []

    async def analyze(_: dict[str, Any], job_id: str) -> None:
        started.append(job_id)

    await redis.zadd(QUEUE_NAME, {b"\xff\xfe": 1})
    await JobQueue(redis).enqueue(["a"])
    worker = new_worker(analyze, redis, redis_url)
    await worker._poll_iteration()
    await asyncio.gather(*worker.tasks.values())
    assert (started, await redis.zcard(QUEUE_NAME)) == (["a"], 0)


async def test_batch_of_jobs_gets_a_bounded_number_of_entries(redis: ArqRedis) -> None:
    await JobQueue(redis).enqueue([f"{number}" for number in range(1_000)])
    assert await redis.zcard(QUEUE_NAME) == MAX_WAKEUPS


async def test_marked_entries_of_the_release_before_are_removed(redis: ArqRedis) -> None:
    """That release marked the entry of a running job for days; after SIGKILL the mark stayed."""
    queue = JobQueue(redis)
    await queue.enqueue(["new"])
    (new,) = await redis.zrange(QUEUE_NAME, 0, -1)
    await redis.zadd(QUEUE_NAME, {f"old{number}:1": 1 for number in range(2_500)})
    for number in range(2_500):
        await redis.psetex(f"arq:in-progress:old{number}:1", 10**9, b"1")
    await redis.psetex(b"arq:in-progress:" + new, 20_000, b"1")
    await redis.zadd(QUEUE_NAME, {"unmarked:1": 1})
    assert await queue.purge_old_entries() == 2_500
    assert await redis.keys("arq:in-progress:*") == [b"arq:in-progress:" + new]
    assert sorted(await redis.zrange(QUEUE_NAME, 0, -1)) == sorted([new, b"unmarked:1"])


@pytest.mark.parametrize("delay", [0.0, 3600.0])
async def test_entries_have_fresh_ids(redis: ArqRedis, delay: float) -> None:
    queue = JobQueue(redis)
    for _ in range(3):
        await queue.enqueue(["a"], delay_seconds=delay)
    assert len({entry for entry in await redis.zrange(QUEUE_NAME, 0, -1) if entry.startswith(b"a:")}) == 3
