"""Whatever another program writes into Redis stops no worker and no command: it is skipped, or replaced."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.worker import func

from domain.errors import PermanentError, ServiceUnavailableError
from domain.workers import WorkerInfo
from infrastructure.redis.facts_cache import CACHE_KEYS, RedisFactsCache
from infrastructure.redis.job_events import JobEvents
from infrastructure.redis.queue import (
    QUEUE_NAME,
    JobQueue,
    connect,
    deserialize,
    job_channel,
    redis_settings,
    serialize,
)
from infrastructure.redis.token_vault import TokenVault
from infrastructure.redis.wakeup_worker import WakeupWorker
from infrastructure.redis.worker_registry import DRAIN, REPORTS_KEY, Report, WorkerRegistry
from tests.fixtures.waiting import until

INFO = WorkerInfo(
    replica_id="good",
    host="h",
    pid=1,
    version="1",
    started_at=time.time(),
    seen_at=time.time(),
    slots=2,
    state="ready",
    jobs=("a",),
)
DEEP = b"[" * 200_000
ODD_FIELDS: list[dict[str, Any]] = [
    {"replica_id": 5}, {"host": None}, {"pid": "1"}, {"pid": True}, {"version": ["1"]}, {"started_at": "now"},
    {"started_at": float("inf")}, {"seen_at": float("nan")}, {"seen_at": -1}, {"started_at": 1e300}, {"slots": "2"},
    {"slots": 10**30}, {"state": 5}, {"state": None}, {"jobs": 5}, {"jobs": [1, 2]}, {"jobs": {"a": 1}}, {"jobs": "ab"},
    {"jobs": ["x" * 10_000]}, {"host": "h" * 10_000}, {"more": 1},
]  # fmt: skip
ODD_ENTRIES = [b"", b"5", b"[]", b"null", b"\xff", DEEP, b'{"a": 1' + b"0" * 5_000 + b"}", b"x" * 1_000_000]
ODD_MESSAGES = [b"", b"5", b"null", b"[]", b"{}", b"\xff\xfe", DEEP, b"NaN", b'{"replica_id": []}', b"1" * 5_000]


@pytest.fixture
async def arq(redis_url: str) -> AsyncIterator[ArqRedis]:
    pool = await connect(redis_url)
    yield pool
    await pool.aclose(close_connection_pool=True)


async def test_odd_entries_of_workers_are_skipped(arq: ArqRedis) -> None:
    registry = WorkerRegistry(arq)
    await registry.register(INFO)
    entries = [json.dumps({**INFO.to_json(), **odd}).encode() for odd in ODD_FIELDS] + ODD_ENTRIES
    for number, entry in enumerate(entries):
        await arq.set(f"vibe8:replica:odd-{number}", entry)
    await occupy(arq, "vibe8:replica:list", "list")
    await arq.set(b"vibe8:replica:\xff", b"x")
    assert [worker.replica_id for worker in await registry.workers()] == ["good"]


@pytest.mark.parametrize("kind", ["string", "list", "hash"])
async def test_reports_of_the_wrong_type_are_replaced(arq: ArqRedis, kind: str) -> None:
    registry = WorkerRegistry(arq)
    await occupy(arq, REPORTS_KEY, kind)
    assert await registry.silent(0.0) == []
    await occupy(arq, REPORTS_KEY, kind)
    await registry.report(Report("w", 7))
    assert await registry.silent(-60.0) == [Report("w", 7)]


async def test_odd_commands_are_skipped(arq: ArqRedis) -> None:
    registry = WorkerRegistry(arq)
    commands = registry.commands("w")
    first = asyncio.ensure_future(anext(commands))
    await until(lambda: has_subscribers(arq, registry.channel))
    for message in ODD_MESSAGES:
        await arq.publish(registry.channel, message)
    await registry.send_command(DRAIN)
    assert await asyncio.wait_for(first, 10) == DRAIN
    await commands.aclose()  # type: ignore[attr-defined]


ODD_EVENTS: list[dict[str, Any]] = [
    {"status": "running"}, {"status": 5, "stage": "s", "progress": 1}, {"status": "x", "stage": "s", "progress": 1},
    {"status": "running", "stage": 5, "progress": 1}, {"status": "running", "stage": "s", "progress": "1"},
    {"status": "running", "stage": "s", "progress": 101}, {"status": "running", "stage": "s", "progress": True},
    {"status": "running", "stage": "s" * 1_000, "progress": 1},
    {"status": "running", "stage": "\x1b[2J", "progress": 1}, {"status": ["running"], "stage": None, "progress": 0},
]  # fmt: skip


async def test_odd_events_of_a_job_are_taken_for_none(arq: ArqRedis) -> None:
    seen: asyncio.Queue[Any] = asyncio.Queue()
    events = JobEvents(arq, lambda *event: seen.put_nowait(event))
    events.add("j")
    running = asyncio.create_task(events.run())
    good = {"status": "running", "stage": "collecting", "progress": 7}
    messages = [json.dumps(event).encode() for event in ODD_EVENTS] + ODD_MESSAGES
    async with asyncio.timeout(10):
        assert await seen.get() == ("j", None)
        for message in (*messages, json.dumps(good).encode()):
            await arq.publish(job_channel("j"), message)
        assert {(await seen.get())[1] for _ in messages} == {None}
        assert await seen.get() == ("j", good)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


# The queue


@asynccontextmanager
async def consumer(arq: ArqRedis, redis_url: str) -> AsyncIterator[list[str]]:
    """Run a WakeupWorker, and yield the ids of the jobs that it was woken for."""
    seen: list[str] = []

    async def analyze(_ctx: dict[str, Any], job_id: str) -> None:
        seen.append(job_id)

    worker = WakeupWorker(
        [func(analyze, name="analyze", max_tries=5)],  # type: ignore[arg-type]
        queue_name=QUEUE_NAME,
        redis_settings=redis_settings(redis_url),
        redis_pool=arq,
        handle_signals=False,
        wakeups_wanted=lambda: 10,
        poll_delay=0.05,
        job_serializer=serialize,
        job_deserializer=deserialize,
    )
    running = asyncio.create_task(worker.main())
    try:
        yield seen
        assert not running.done(), running
    finally:
        tasks = (running, *worker.tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def woken(queue: JobQueue, seen: list[str]) -> None:
    """Wait until the worker was woken for a job that is enqueued now."""

    async def enqueued() -> bool:
        with suppress(ServiceUnavailableError):  # a submitter ignores it, too
            await queue.enqueue(["good"])
        await asyncio.sleep(0.1)
        return "good" in seen

    await until(enqueued)


@pytest.mark.parametrize("kind", ["string", "list", "hash"])
async def test_a_queue_of_the_wrong_type_is_replaced(arq: ArqRedis, redis_url: str, kind: str) -> None:
    await occupy(arq, QUEUE_NAME, kind)
    async with consumer(arq, redis_url) as seen:
        await woken(JobQueue(arq), seen)
        seen.clear()
        await occupy(arq, QUEUE_NAME, kind)
        await woken(JobQueue(arq), seen)


@pytest.mark.parametrize("score", ["-inf", "0", "-5"])
async def test_entries_with_impossible_times_do_not_block_the_queue(arq: ArqRedis, redis_url: str, score: str) -> None:
    await arq.zadd(QUEUE_NAME, {f"odd:{number}": float(score) for number in range(50)})
    async with consumer(arq, redis_url) as seen:
        await woken(JobQueue(arq), seen)
        assert await arq.zcount(QUEUE_NAME, "-inf", 0) == 0


@pytest.mark.parametrize("prefix", ["arq:job:", "arq:retry:"])
async def test_an_entry_whose_keys_have_the_wrong_type_is_removed(arq: ArqRedis, redis_url: str, prefix: str) -> None:
    await arq.set("arq:job:odd", serialize({"t": None, "f": "analyze", "a": ["odd"], "k": {}, "et": 1}))
    await occupy(arq, f"{prefix}odd", "list")
    await arq.zadd(QUEUE_NAME, {"odd": 1})
    async with consumer(arq, redis_url) as seen:
        await woken(JobQueue(arq), seen)
        await until(lambda: is_absent(arq, "odd"))
        assert not await arq.exists(f"{prefix}odd")


async def test_a_queue_of_the_wrong_type_does_not_keep_a_worker_from_starting(arq: ArqRedis) -> None:
    await occupy(arq, QUEUE_NAME, "hash")
    assert await JobQueue(arq).purge_old_entries() == 0


# Facts and tokens


@pytest.mark.parametrize("key", CACHE_KEYS)
@pytest.mark.parametrize("kind", ["string", "list", "set"])
async def test_a_facts_cache_of_the_wrong_type_is_replaced(arq: ArqRedis, key: str, kind: str) -> None:
    cache = RedisFactsCache(arq, 1 << 20)
    await cache.put({b"a": b"1"})
    await occupy(arq, key, kind)
    await cache.get([b"a"])
    await cache.put({b"b": b"2"})
    assert await cache.get([b"b"]) == {b"b": b"2"}


async def test_a_token_of_the_wrong_type_is_lost(arq: ArqRedis) -> None:
    await occupy(arq, "vibe8:token:j", "list")
    vault = TokenVault(arq, ["A" * 43 + "="], ttl_seconds=60)
    with pytest.raises(PermanentError, match="token lost, submit again"):
        await vault.get("j")


async def occupy(arq: ArqRedis, key: str, kind: str) -> None:
    """Put a value of this type under the key."""
    await arq.delete(key)
    writes = {"string": ("SET", "x"), "list": ("RPUSH", "x"), "hash": ("HSET", "f", "x"), "set": ("SADD", "x")}
    command, *arguments = writes[kind]
    await arq.execute_command(command, key, *arguments)  # type: ignore[no-untyped-call]


async def has_subscribers(arq: ArqRedis, channel: str) -> bool:
    return bool(dict(await arq.pubsub_numsub(channel))[channel.encode()])


async def is_absent(arq: ArqRedis, entry: str) -> bool:
    return await arq.zscore(QUEUE_NAME, entry) is None
