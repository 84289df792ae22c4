"""Session locks, and the rescue of the jobs of workers that hold theirs no more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from domain.jobs import JobStatus
from infrastructure.database.engine import Database
from infrastructure.database.repositories.claims import ClaimRepository
from infrastructure.database.repositories.maintenance import MaintenanceRepository, RescuedJob
from infrastructure.database.server import session_lock
from infrastructure.database.server.session_lock import APPLICATION_NAME, SERVER_START, SessionLock
from tests.fixtures.jobs import get_job, new_user, submit
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System


@asynccontextmanager
async def running_lock(system: System, owner: str) -> AsyncIterator[SessionLock]:
    """Acquire the owner's lock, again and again if it is lost, within the block."""
    lock = SessionLock.from_settings(system.settings, owner)
    task = asyncio.create_task(lock.run())
    try:
        yield lock
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await lock.close()


@asynccontextmanager
async def held_lock(system: System, owner: str) -> AsyncIterator[SessionLock]:
    """Hold the owner's lock within the block."""
    async with running_lock(system, owner) as lock:
        await until(lambda: lock.server)
        yield lock


async def server_start(database: Database) -> int:
    async with database.autocommit() as connection:
        return int(await connection.scalar(text(f"SELECT {SERVER_START}")))


async def lockless(database: Database, *workers: str, server: int | None = None) -> list[str]:
    start = await server_start(database) if server is None else server
    async with database.autocommit() as connection:
        return await MaintenanceRepository(connection).lockless_workers(dict.fromkeys(workers, start))


async def terminate_locks(database: Database) -> int:
    async with database.autocommit() as connection:
        terminated = await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name = :name AND datname = current_database()"
            ),
            {"name": APPLICATION_NAME},
        )
        return len(terminated.all())


async def run_jobs(database: Database, worker_id: str, count: int = 1) -> list[str]:
    """Let the worker claim so many new jobs."""
    user_id = await new_user(database, f"{worker_id}@example.org")
    jobs = [await submit(database, user_id) for _ in range(count)]
    async with database.autocommit() as connection:
        claims = await ClaimRepository(connection).claim(count, worker_id=worker_id, lease_seconds=30)
    assert sorted(claim.job.job_id for claim in claims) == sorted(job.job_id for job in jobs)
    return [job.job_id for job in jobs]


async def rescue(database: Database, worker_id: str, limit: int = 100) -> list[RescuedJob]:
    async with database.unit_of_work() as connection:
        return await MaintenanceRepository(connection).rescue_of_worker(worker_id, limit)


async def test_lock_is_held_until_its_connection_ends(system: System, database: Database) -> None:
    await run_jobs(database, "w")
    async with held_lock(system, "w") as lock:
        assert lock.server == await server_start(database)
        assert await lockless(database, "w") == []

    async def released() -> bool:
        return await lockless(database, "w") == ["w"]

    await until(released)
    assert lock.server is None


async def test_lock_is_acquired_again_when_its_connection_was_terminated(system: System, database: Database) -> None:
    await run_jobs(database, "w")
    async with held_lock(system, "w") as lock:
        assert lock.regained_at == float("-inf")
        for _ in range(3):
            before = lock.regained_at
            with capture_logs() as log:
                assert await terminate_locks(database) == 1
                await until(lambda before=before: lock.regained_at > before)  # type: ignore[misc]
            assert await lockless(database, "w") == []
            assert [entry["event"] for entry in log] == ["session_lock.lost"]


async def test_lock_that_the_server_does_not_hold_any_more_is_acquired_again(
    system: System, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a connection pooler that nobody has declared: the connection stays, and its session is another."""
    monkeypatch.setattr(session_lock, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(session_lock, "_STILL_HELD", text("SELECT pg_advisory_unlock_shared(:key) AND false"))
    async with running_lock(system, "w") as lock:
        await until(lambda: lock.regained_at > float("-inf"))


async def test_lock_is_never_held_behind_a_pooler(system: System, database: Database) -> None:
    pooled = SessionLock.from_settings(system.with_settings(DB_POOLER="transaction").settings, "w")
    running = asyncio.create_task(pooled.run())
    async with held_lock(system, "other"):
        assert pooled.server is None
        await run_jobs(database, "w")
        assert await lockless(database, "w", "other") == ["w"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await pooled.close()


async def test_worker_without_lock_is_found_only_if_it_has_running_jobs(system: System, database: Database) -> None:
    await run_jobs(database, "dead")
    await run_jobs(database, "live")
    async with held_lock(system, "live"):
        assert await lockless(database, "dead", "live", "idle") == ["dead"]


async def test_worker_whose_server_has_started_again_since_is_not_found(database: Database) -> None:
    await run_jobs(database, "dead")
    assert await lockless(database, "dead", server=await server_start(database) - 1) == []


async def test_rescue_takes_the_jobs_of_that_worker_only(database: Database) -> None:
    lost = await run_jobs(database, "dead", 3)
    (kept,) = await run_jobs(database, "other")
    rescued = await rescue(database, "dead")
    assert sorted(job.job_id for job in rescued) == sorted(lost)
    assert {(job.status, job.worker_id, job.attempt) for job in rescued} == {(JobStatus.PENDING, "dead", 1)}
    assert (await get_job(database, kept)).status is JobStatus.RUNNING
    (error,) = (await get_job(database, lost[0])).attempt_errors
    assert (error.attempt, error.kind, error.message) == (1, "worker lost", "the worker that ran it died")
    assert await rescue(database, "dead") == []


async def test_rescue_is_a_failed_attempt_and_the_third_fails_the_job(database: Database) -> None:
    (job_id,) = await run_jobs(database, "dead")
    statuses = []
    for _ in range(3):
        statuses += [job.status for job in await rescue(database, "dead")]
        async with database.autocommit() as connection:
            await ClaimRepository(connection).claim(1, worker_id="dead", lease_seconds=30)
    assert statuses == [JobStatus.PENDING, JobStatus.PENDING, JobStatus.FAILED]
    assert (await get_job(database, job_id)).error_message == "worker lost"


async def test_rescue_takes_nothing_while_the_worker_holds_its_lock(system: System, database: Database) -> None:
    await run_jobs(database, "live")
    async with held_lock(system, "live"):
        assert await rescue(database, "live") == []


async def test_concurrent_rescues_take_each_job_once(database: Database) -> None:
    jobs = await run_jobs(database, "dead", 20)
    rescued: list[RescuedJob] = []
    while len(rescued) < len(jobs):
        for found in await asyncio.gather(*(rescue(database, "dead", 4) for _ in range(8))):
            rescued += found
    assert sorted(job.job_id for job in rescued) == sorted(jobs)
