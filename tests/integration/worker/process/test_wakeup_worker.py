"""Start of jobs on a wake-up, and the number of Redis commands it takes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from arq import func
from arq.connections import ArqRedis
from redis.asyncio.client import Pipeline

from infrastructure.redis.queue import (
    QUEUE_NAME,
    JobQueue,
    connect,
    deserialize,
    redis_settings,
    serialize,
    wakeup_channel,
)
from infrastructure.redis.wakeup_worker import WakeupWorker
from tests.fixtures.waiting import until

OTHERS = 300


@pytest.fixture(name="redis")
async def arq_redis(redis_url: str) -> AsyncIterator[ArqRedis]:
    redis = await connect(redis_url)
    yield redis
    await redis.aclose()


async def commands(redis: ArqRedis) -> int:
    return int((await redis.info("stats"))["total_commands_processed"])


Started = Callable[[dict[str, Any], str], Awaitable[None]]


def new_worker(analyze: Started, redis: ArqRedis, redis_url: str, **options: Any) -> WakeupWorker:
    return WakeupWorker(
        [func(analyze, name="analyze")],  # type: ignore[arg-type]
        queue_name=QUEUE_NAME,
        redis_settings=redis_settings(redis_url),
        redis_pool=redis,
        handle_signals=False,
        max_jobs=5,
        queue_read_limit=2048,
        job_serializer=serialize,
        job_deserializer=deserialize,
        **options,
    )


async def test_wakeup_starts_a_job_without_a_poll(redis: ArqRedis, redis_url: str) -> None:
    started: asyncio.Queue[str] = asyncio.Queue()

    async def analyze(_: dict[str, Any], job_id: str) -> None:
        await started.put(job_id)

    worker = new_worker(analyze, redis, redis_url, poll_delay=3600)
    running = asyncio.create_task(worker.main())
    channel = wakeup_channel(redis)
    async with asyncio.timeout(60):
        while dict(await redis.pubsub_numsub(channel)) != {channel.encode(): 1}:
            await asyncio.sleep(0.01)
        for number in range(20):
            await JobQueue(redis).enqueue(f"{number}", 1)
            assert await started.get() == f"{number}"
            while worker.job_counter:
                await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert dict(await redis.pubsub_numsub(channel)) == {channel.encode(): 0}


async def test_entries_in_progress_elsewhere_are_checked_in_batches(redis: ArqRedis, redis_url: str) -> None:
    started: list[str] = []

    async def analyze(_: dict[str, Any], job_id: str) -> None:
        started.append(job_id)

    queue = JobQueue(redis)
    await queue.enqueue_many([(f"{number:04}", 1) for number in range(OTHERS)])
    for number in range(OTHERS):
        await redis.set(f"arq:in-progress:{number:04}:1", b"1")  # as other workers do
    await queue.enqueue("waiting", 1)
    worker = new_worker(analyze, redis, redis_url)
    before = await commands(redis)
    await worker._poll_iteration()
    assert await commands(redis) - before < 50  # and not three for each
    for task in list(worker.tasks.values()):
        await task
    assert started == ["waiting"]
    assert await redis.zcard(QUEUE_NAME) == OTHERS


async def test_entry_being_acquired_at_cancellation_is_still_started(
    redis: ArqRedis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquired, go_on = asyncio.Event(), asyncio.Event()
    execute = Pipeline.execute

    async def execute_slowly(pipeline: Any, *arguments: Any, **options: Any) -> Any:
        answer = await execute(pipeline, *arguments, **options)
        if await redis.exists("arq:in-progress:job:1"):
            acquired.set()
            await go_on.wait()
        return answer

    async def analyze(_: dict[str, Any], job_id: str) -> None:
        await asyncio.Event().wait()

    await JobQueue(redis).enqueue("job", 1)
    monkeypatch.setattr(Pipeline, "execute", execute_slowly)
    worker = new_worker(analyze, redis, redis_url, poll_delay=0.01)
    running = asyncio.create_task(worker.main())
    async with asyncio.timeout(60):
        await acquired.wait()
        running.cancel()
        await asyncio.sleep(0.05)
        go_on.set()
        await asyncio.gather(running, return_exceptions=True)
    (task,) = worker.tasks.values()  # the caller of `main` ends started tasks
    assert list(worker.tasks) == ["job:1"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def count_polls(monkeypatch: pytest.MonkeyPatch, redis: ArqRedis, taken: int) -> list[int]:
    """Record how many entries each poll finds. After the first poll, other workers acquire some of its entries."""
    polls: list[int] = []
    not_in_progress = WakeupWorker._not_in_progress

    async def counted(worker: WakeupWorker, job_ids: Any) -> list[bytes]:
        found = await not_in_progress(worker, job_ids)
        for entry in found[:taken] if not polls else ():
            await redis.set(f"arq:in-progress:{entry.decode()}", b"1")
        polls.append(len(found))
        return found

    monkeypatch.setattr(WakeupWorker, "_not_in_progress", counted)
    return polls


@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize("taken", [0, 3])
async def test_free_slots_take_entries_of_the_last_poll(
    redis: ArqRedis, redis_url: str, monkeypatch: pytest.MonkeyPatch, taken: int, one_by_one: bool
) -> None:
    """There is one wake-up and no regular poll, so that each free slot must start the next entry by itself.

    Jobs that end while others are being started may cause more polls. Jobs that end one by one do not.
    """
    started: asyncio.Queue[str] = asyncio.Queue()
    may_end = asyncio.Semaphore(0 if one_by_one else 100)

    async def analyze(_: dict[str, Any], job_id: str) -> None:
        await started.put(job_id)
        await may_end.acquire()

    polls = count_polls(monkeypatch, redis, taken)
    await JobQueue(redis).enqueue_many([(f"{number:04}", 1) for number in range(100)])
    worker = new_worker(analyze, redis, redis_url, poll_delay=3600)
    running = asyncio.create_task(worker.main())
    async with asyncio.timeout(60):
        job_ids = {await started.get() for _ in range(worker.max_jobs - 1)}
        while len(job_ids) < 100 - taken:
            job_ids.add(await started.get())
            may_end.release()
        assert len(polls) <= (3 if one_by_one else 15)
        for _ in range(worker.max_jobs):
            may_end.release()
        await until(lambda: not worker.job_counter)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
