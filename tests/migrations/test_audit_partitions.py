"""Partitions of the audit log: made, dropped and protected by the database."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest
from sqlalchemy import text

from domain.errors import ServiceUnavailableError
from infrastructure.database.access.audit_partitions import MONTHS_AHEAD, AuditPartitionRepository
from infrastructure.database.connecting import asyncpg_url
from infrastructure.database.engine import Database
from infrastructure.database.migrate import schema_differences

KEEP = 12
PARTITIONS = """
    SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = 'audit_logs'::regclass ORDER BY relname
"""
INSERT = "INSERT INTO audit_logs (action, resource_type, ip_address, created_at) VALUES ('x', 'job', '::1', $1)"
CHANGES = (
    "UPDATE {table} SET action = 'other'",
    "UPDATE {table} SET ip_address = '::2'",
    "UPDATE {table} SET ip_address = NULL, resource_id = 'other'",
    "UPDATE {table} SET user_id = gen_random_uuid(), ip_address = NULL",
    "DELETE FROM {table}",
    "TRUNCATE {table}",
    "TRUNCATE {table} CASCADE",
)


def month(offset: int) -> datetime:
    """Return the first moment of the month so many after this one."""
    now = datetime.now(UTC)
    years, number = divmod(now.month - 1 + offset, 12)
    return datetime(now.year + years, number + 1, 1, tzinfo=UTC)


def partition(offset: int) -> str:
    return f"audit_logs_{month(offset):%Y_%m}"


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(database_url)
    yield opened
    await opened.close()


async def partitions(connection: asyncpg.Connection) -> list[str]:
    return [row["relname"] for row in await connection.fetch(PARTITIONS)]


async def count(connection: asyncpg.Connection, table: str) -> int:
    return int(await connection.fetchval("SELECT count(*) FROM audit_logs WHERE tableoid = $1::text::regclass", table))


async def create(database: Database, role: str = "none") -> int:
    async with database.unit_of_work() as work:
        await work.execute(text(f"SET LOCAL ROLE {role}"))
        return await AuditPartitionRepository(work).create_missing(KEEP)


async def drop(database: Database, keep: int = KEEP) -> int:
    async with database.unit_of_work() as work:
        return await AuditPartitionRepository(work).drop_old(keep)


async def attach(connection: asyncpg.Connection, offset: int) -> None:
    """Create a partition as maintenance did in another month."""
    bounds = f"FOR VALUES FROM ('{month(offset).isoformat()}') TO ('{month(offset + 1).isoformat()}')"
    await connection.execute("SELECT attach_audit_partition($1, $2)", partition(offset), bounds)


async def test_a_migrated_database_has_partitions_three_months_ahead(
    connection: asyncpg.Connection, database: Database
) -> None:
    expected = sorted([*(partition(offset) for offset in range(MONTHS_AHEAD + 1)), "audit_logs_default"])
    assert await partitions(connection) == expected
    assert await create(database) == 0
    assert await partitions(connection) == expected


async def test_missing_partitions_are_made_by_one_of_several_workers(
    connection: asyncpg.Connection, database: Database, database_url: str
) -> None:
    expected = await partitions(connection)
    await connection.execute(f"DROP TABLE {partition(2)}, {partition(3)}")
    done = await asyncio.gather(*(create(database) for _ in range(8)))
    assert sorted(done) == [0] * 7 + [2]
    assert await partitions(connection) == expected
    assert await schema_differences(asyncpg_url(database_url)) == []


async def test_a_row_goes_to_the_month_of_its_time_in_utc(connection: asyncpg.Connection) -> None:
    await connection.execute("SET timezone = 'Pacific/Auckland'")
    await connection.execute(INSERT, month(1))
    await connection.execute("INSERT INTO audit_logs (action, resource_type) VALUES ('now', 'job')")
    places = await connection.fetch("SELECT tableoid::regclass::text AS place FROM audit_logs ORDER BY created_at")
    assert [row["place"] for row in places] == [partition(0), partition(1)]


async def test_making_partitions_ahead_does_not_wait_for_inserts(
    connection: asyncpg.Connection, database: Database
) -> None:
    await connection.execute(f"DROP TABLE {partition(3)}")
    async with connection.transaction():
        await connection.execute("INSERT INTO audit_logs (action, resource_type) VALUES ('open', 'job')")
        assert await create(database) == 1


async def test_rows_without_a_partition_are_kept_and_move_into_theirs(
    connection: asyncpg.Connection, database: Database, database_url: str
) -> None:
    """As after months in which no cleanup ran."""
    await connection.execute(f"DROP TABLE {partition(0)}, {partition(1)}, {partition(2)}, {partition(3)}")
    for offset in (-2, -1, -1):
        await connection.execute(INSERT, month(offset))
    await connection.execute("INSERT INTO audit_logs (action, resource_type) VALUES ('now', 'job')")
    before = await connection.fetch("SELECT * FROM audit_logs ORDER BY id")
    assert await count(connection, "audit_logs_default") == 4
    done = await asyncio.gather(*(create(database) for _ in range(4)))
    assert sorted(done) == [0, 0, 0, 6]
    assert await count(connection, "audit_logs_default") == 0
    assert await connection.fetch("SELECT * FROM audit_logs ORDER BY id") == before
    assert await count(connection, partition(-1)) == 2
    assert await partitions(connection) == sorted(
        [*(partition(offset) for offset in range(-2, MONTHS_AHEAD + 1)), "audit_logs_default"]
    )
    assert await schema_differences(asyncpg_url(database_url)) == []
    for table in ("audit_logs_default", partition(-1)):
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute(f"TRUNCATE {table}")


async def test_a_month_is_dropped_when_it_ended_the_retention_ago(
    connection: asyncpg.Connection, database: Database
) -> None:
    for offset in (-14, -13, -12, -1):
        await attach(connection, offset)
    assert await drop(database) == 2
    left = await partitions(connection)
    assert partition(-12) in left
    assert not {partition(-13), partition(-14)} & set(left)
    assert await drop(database, keep=1) == 1
    assert partition(-1) in await partitions(connection)


async def test_dropping_gives_up_soon_while_a_reader_holds_the_log(
    connection: asyncpg.Connection, database: Database
) -> None:
    await attach(connection, -13)
    async with connection.transaction():
        await connection.execute("SELECT count(*) FROM audit_logs")
        with pytest.raises(ServiceUnavailableError, match="lock timeout"):
            await drop(database)
    assert await drop(database) == 1


async def test_a_role_that_may_not_make_partitions_is_told_so(
    connection: asyncpg.Connection, database: Database
) -> None:
    await connection.execute(f"DROP TABLE {partition(3)}")
    with pytest.raises(ServiceUnavailableError, match=r"permission denied|must be owner"):
        await create(database, role="pg_read_all_data")
    assert await create(database) == 1


@pytest.mark.parametrize("table", ["audit_logs", "audit_logs_default", partition(0), partition(3)])
async def test_no_entry_can_be_changed_or_removed(connection: asyncpg.Connection, table: str) -> None:
    for moment in (month(-5), datetime.now(UTC), month(3)):
        await connection.execute(INSERT, moment)
    before = await connection.fetch("SELECT * FROM audit_logs ORDER BY id")
    for change in CHANGES:
        with pytest.raises(asyncpg.RestrictViolationError, match="can only grow"):
            await connection.execute(change.format(table=table))
    assert await connection.fetch("SELECT * FROM audit_logs ORDER BY id") == before
    await connection.execute("UPDATE audit_logs SET ip_address = NULL, user_agent = NULL")
    assert await connection.fetchval("SELECT count(*) FROM audit_logs WHERE ip_address IS NULL") == 3
