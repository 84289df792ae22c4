"""What looking for a ring costs Redis while many are being answered."""

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

OTHERS = 300


@pytest.fixture
async def redis_of_arq(redis_url: str) -> AsyncIterator[ArqRedis]:
    redis = await connect(redis_url)
    yield redis
    await redis.aclose()


async def commands(redis: ArqRedis) -> int:
    return int((await redis.info("stats"))["total_commands_processed"])


Started = Callable[[dict[str, Any], str], Awaitable[None]]


def listener_of(analyze: Started, redis: ArqRedis, redis_url: str, **options: Any) -> WakeupWorker:
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


async def test_a_ring_is_heard_and_not_only_found(redis: ArqRedis, redis_url: str) -> None:
    started: asyncio.Queue[str] = asyncio.Queue()

    async def analyze(_: dict[str, Any], job_id: str) -> None:
        await started.put(job_id)

    listener = listener_of(analyze, redis, redis_url, poll_delay=3600)
    listening = asyncio.create_task(listener.main())
    channel = wakeup_channel(redis)
    async with asyncio.timeout(60):
        while dict(await redis.pubsub_numsub(channel)) != {channel.encode(): 1}:
            await asyncio.sleep(0.01)
        for number in range(20):
            await JobQueue(redis).enqueue(f"{number}", 1)
            assert await started.get() == f"{number}"
            while listener.job_counter:
                await asyncio.sleep(0.01)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert dict(await redis.pubsub_numsub(channel)) == {channel.encode(): 0}


async def test_rings_that_others_answer_are_asked_about_at_once(redis: ArqRedis, redis_url: str) -> None:
    started: list[str] = []

    async def analyze(_: dict[str, Any], job_id: str) -> None:
        started.append(job_id)

    queue = JobQueue(redis)
    await queue.enqueue_many([(f"{number:04}", 1) for number in range(OTHERS)])
    for number in range(OTHERS):
        await redis.set(f"arq:in-progress:{number:04}:1", b"1")  # as other replicas do
    await queue.enqueue("waiting", 1)
    listener = listener_of(analyze, redis, redis_url)
    before = await commands(redis)
    await listener._poll_iteration()
    assert await commands(redis) - before < 50  # and not three for each
    for task in list(listener.tasks.values()):
        await task
    assert started == ["waiting"]
    assert await redis.zcard(QUEUE_NAME) == OTHERS


async def test_a_ring_that_is_being_taken_at_the_end_is_taken(
    redis: ArqRedis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked, go_on = asyncio.Event(), asyncio.Event()
    execute = Pipeline.execute

    async def execute_slowly(pipeline: Any, *arguments: Any, **options: Any) -> Any:
        answer = await execute(pipeline, *arguments, **options)
        if await redis.exists("arq:in-progress:job:1"):
            marked.set()
            await go_on.wait()
        return answer

    async def analyze(_: dict[str, Any], job_id: str) -> None:
        await asyncio.Event().wait()

    await JobQueue(redis).enqueue("job", 1)
    monkeypatch.setattr(Pipeline, "execute", execute_slowly)
    listener = listener_of(analyze, redis, redis_url, poll_delay=0.01)
    listening = asyncio.create_task(listener.main())
    async with asyncio.timeout(60):
        await marked.wait()
        listening.cancel()
        await asyncio.sleep(0.05)
        go_on.set()
        await asyncio.gather(listening, return_exceptions=True)
    (task,) = listener.tasks.values()  # whoever runs the listener sees to what it has begun
    assert list(listener.tasks) == ["job:1"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("taken", [0, 3])
async def test_slots_are_filled_from_what_was_found_whoever_else_was_quicker(
    redis: ArqRedis, redis_url: str, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    """Nothing rings again here, and nobody looks of itself: each slot that is free must find the next."""
    started: set[str] = set()
    looks = 0
    unanswered = WakeupWorker._not_in_progress

    async def unanswered_until_others_come(listener: WakeupWorker, job_ids: Any) -> list[bytes]:
        nonlocal looks
        looks += 1
        found = await unanswered(listener, job_ids)
        for ring in found[:taken] if looks == 1 else ():
            await redis.set(f"arq:in-progress:{ring.decode()}", b"1")
        return found

    async def analyze(_: dict[str, Any], job_id: str) -> None:
        started.add(job_id)

    monkeypatch.setattr(WakeupWorker, "_not_in_progress", unanswered_until_others_come)
    await JobQueue(redis).enqueue_many([(f"{number:04}", 1) for number in range(100)])
    listener = listener_of(analyze, redis, redis_url, poll_delay=3600)
    listening = asyncio.create_task(listener.main())
    async with asyncio.timeout(60):
        while len(started) < 100 - taken:
            await asyncio.sleep(0.01)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    assert looks <= 3
