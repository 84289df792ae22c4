"""Servers that are up and refuse: each is an outage with one line that says what to do."""

import asyncpg
import pytest
from sqlalchemy import text

from domain.errors import ServiceUnavailableError
from infrastructure.database.engine import Database
from infrastructure.database.errors import translated_errors
from infrastructure.redis.queue import JobQueue, connect
from infrastructure.redis.worker_registry import Report, WorkerRegistry
from worker.cli.commands.doctor.services import check_writes

REFUSALS = [
    asyncpg.AdminShutdownError, asyncpg.CrashShutdownError, asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError, asyncpg.DiskFullError, asyncpg.OutOfMemoryError,
    asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError,
    asyncpg.ReadOnlySQLTransactionError,
]  # fmt: skip


@pytest.mark.parametrize("kind", REFUSALS)
async def test_refusals_of_postgresql_are_outages_in_one_line(kind: type[asyncpg.PostgresError]) -> None:
    with pytest.raises(ServiceUnavailableError, match=r"^PostgreSQL: sorry") as caught:
        async with translated_errors():
            raise kind("sorry\nSELECT secret")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (asyncpg.DiskFullError, "free space on the server's disk"),
        (asyncpg.OutOfMemoryError, "more memory"),
        (asyncpg.TooManyConnectionsError, "raise max_connections"),
    ],
)
async def test_refusals_of_a_full_postgresql_say_what_to_do(kind: type[asyncpg.PostgresError], words: str) -> None:
    with pytest.raises(ServiceUnavailableError, match=words):
        async with translated_errors():
            raise kind("sorry")


async def test_read_only_postgresql_is_an_outage_without_sql(database: Database) -> None:
    async def delete() -> None:
        async with database.unit_of_work() as work:
            await work.execute(text("SET TRANSACTION READ ONLY"))
            await work.execute(text("DELETE FROM jobs"))

    with pytest.raises(ServiceUnavailableError, match="DATABASE_URL must lead to the primary") as caught:
        await delete()
    assert "FROM jobs" not in str(caught.value)
    async with database.unit_of_work() as work:
        await work.execute(text("DELETE FROM jobs"))


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ("READONLY You can't write against a read only replica.", "REDIS_URL must lead to the primary"),
        ("OOM command not allowed when used memory > 'maxmemory'.", "raise its maxmemory"),
        ("MISCONF Errors writing to the AOF file: No space left on device", "free space"),
        ("NOREPLICAS Not enough good replicas to write.", "lower min-replicas-to-write"),
        ("NOAUTH Authentication required.", "refuses the password"),
    ],
)
async def test_a_redis_that_refuses_is_named_for_what_it_is(redis_url: str, refusal: str, words: str) -> None:
    arq = await connect(redis_url)
    registry = WorkerRegistry(arq)
    registry._report = arq.register_script(f'return redis.error_reply("{refusal}")')
    with pytest.raises(ServiceUnavailableError, match=words):
        await registry.report(Report("w", 1))
    await JobQueue(arq).wake_workers()
    await arq.aclose(close_connection_pool=True)


def test_doctor_names_a_replica() -> None:
    check = check_writes({"role": "slave", "master_host": "other.example", "master_port": 6379}, None)
    assert (check.ok, check.found) == (False, "is a replica, which refuses writes")
    assert "other.example:6379" in str(check.advice)
    assert check_writes({"role": "master"}, None).ok
