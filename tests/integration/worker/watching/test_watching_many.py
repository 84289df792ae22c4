"""Many watchers of jobs in one process: what they see, and what they cost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis
from sqlalchemy import event, text

from domain.errors import NotFoundError, ServiceUnavailableError
from domain.jobs import Job, JobStatus
from tests.fixtures.network.tcp_proxy import Proxies
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System
from worker.client import Client
from worker.watching import job_watcher

WATCHERS = 300


async def submit(client: Client, user_id: UUID) -> Job:
    return await client.submit_upload(user_id, filename="a.py", content=b"x = 1\n")


async def change(client: Client, values: str, job_id: str | None = None) -> None:
    """Change rows as another program does, without an event."""
    statement = text(f"UPDATE jobs SET {values} WHERE job_id = coalesce(CAST(:job_id AS varchar), job_id)")  # noqa: S608
    async with client._database.unit_of_work() as work:
        await work.execute(statement, {"job_id": job_id})


async def statuses(client: Client, user_id: UUID, job_id: str, seen: list[str]) -> None:
    async for job in client.watch(user_id, job_id):
        seen.append(str(job.status))  # noqa: PERF401 - others look at it meanwhile


@pytest.fixture
async def watched(client: Client, user_id: UUID) -> AsyncIterator[list[tuple[Job, list[str], "asyncio.Task[None]"]]]:
    """WATCHERS watchers of three jobs, who have seen the first state."""
    jobs = [await submit(client, user_id) for _ in range(3)]
    found: list[tuple[Job, list[str], asyncio.Task[None]]] = []
    for number in range(WATCHERS):
        seen: list[str] = []
        job = jobs[number % len(jobs)]
        found.append((job, seen, asyncio.create_task(statuses(client, user_id, job.job_id, seen))))
    await until(lambda: all(seen for _, seen, _ in found))
    yield found
    for _, _, task in found:
        task.cancel()
    await asyncio.gather(*(task for _, _, task in found), return_exceptions=True)


Watched = Sequence[tuple[Job, list[str], "asyncio.Task[None]"]]


async def test_statements_and_connections_do_not_grow_with_watchers(
    client: Client, watched: Watched, system: System
) -> None:
    statements: list[str] = []

    def record(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(client._database._engine.sync_engine, "before_cursor_execute", record)
    await asyncio.sleep(3 * job_watcher.WATCH_POLL_SECONDS)
    assert 1 <= len(statements) <= 4, statements
    async with Redis.from_url(system.environment["REDIS_URL"]) as redis:
        assert len([each for each in await redis.client_list() if int(each["sub"])]) == 1
    assert client._database.pool_usage()[0] <= 1


async def test_all_watchers_see_a_change_without_an_event_and_end(client: Client, watched: Watched) -> None:
    await change(client, "status = 'running', attempt = 1, stage = 'fetching'")
    await until(lambda: all(seen[-1] == "running" for _, seen, _ in watched))
    await change(client, "status = 'failed', finished_at = now(), error_message = 'x'")
    async with asyncio.timeout(30):
        await asyncio.gather(*(task for _, _, task in watched))
    assert {tuple(seen) for _, seen, _ in watched} == {("pending", "running", "failed")}
    assert client._connections.watcher._tasks == [], "it reads only while somebody watches"


async def test_a_deleted_job_ends_its_watchers_alone(client: Client, watched: Watched) -> None:
    gone = watched[0][0].job_id
    async with client._database.unit_of_work() as work:
        await work.execute(text("DELETE FROM jobs WHERE job_id = :id"), {"id": gone})
    theirs = [task for job, _, task in watched if job.job_id == gone]
    async with asyncio.timeout(30):
        errors = await asyncio.gather(*theirs, return_exceptions=True)
    assert {type(error) for error in errors} == {NotFoundError}
    assert len([task for _, _, task in watched if task.done()]) == WATCHERS / 3


async def test_a_row_that_cannot_be_read_ends_its_watchers_alone(client: Client, watched: Watched) -> None:
    spoilt = watched[0][0].job_id
    await change(client, """attempt = 1, attempt_errors = '[{"no": "error"}]'""", spoilt)
    theirs = [task for job, _, task in watched if job.job_id == spoilt]
    async with asyncio.timeout(30):
        errors = await asyncio.gather(*theirs, return_exceptions=True)
    assert {type(error) for error in errors} == {KeyError}
    await change(client, "status = 'running', attempt = 1", watched[1][0].job_id)
    await until(lambda: watched[1][1][-1] == "running")


async def test_a_watcher_who_is_slow_gets_the_latest_state(client: Client, user_id: UUID) -> None:
    job = await submit(client, user_id)
    async with asyncio.timeout(60), aclosing(client.watch(user_id, job.job_id)) as jobs:  # type: ignore[type-var]
        assert (await anext(jobs)).status is JobStatus.PENDING
        other: list[str] = []
        watching = asyncio.create_task(statuses(client, user_id, job.job_id, other))
        await change(client, "status = 'running', attempt = 1")
        await until(lambda: other[-1:] == ["running"])
        await change(client, "status = 'completed', finished_at = now()")
        await watching
        assert (await anext(jobs)).status is JobStatus.COMPLETED
        assert await anext(jobs, None) is None


async def test_a_job_is_repeated_where_nothing_changes(client: Client, user_id: UUID) -> None:
    job = await submit(client, user_id)
    async with asyncio.timeout(30):
        seen = 0
        async for each in client.watch(user_id, job.job_id, repeat_seconds=0.05):
            assert each.status is JobStatus.PENDING
            if (seen := seen + 1) == 5:
                break


async def test_outages_end_watchers_with_an_error_or_delay_them(
    proxied_system: System, proxies: Proxies, client: Client, user_id: UUID
) -> None:
    jobs = [await submit(client, user_id) for _ in range(2)]
    async with Client.open(proxied_system.settings) as other:
        seen: list[list[str]] = [[], []]
        tasks = [
            asyncio.create_task(statuses(other, user_id, job.job_id, each))
            for job, each in zip(jobs, seen, strict=True)
        ]
        await until(lambda: all(seen))
        await proxies.redis.disconnect()
        await change(client, "status = 'running', attempt = 1")
        await until(lambda: all(each[-1] == "running" for each in seen))
        await proxies.postgresql.disconnect()
        async with asyncio.timeout(60):
            errors = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(error) for error in errors} == {ServiceUnavailableError}
