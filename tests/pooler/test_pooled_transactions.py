"""Transactions through PgBouncer: no statement, setting or lock of one client reaches another."""

import asyncio

import asyncpg
import pytest
from sqlalchemy import text

from domain.errors import InvalidInputError
from infrastructure.database.connecting import asyncpg_url
from infrastructure.database.engine import Database
from infrastructure.database.migrate import downgrade, head_revision, schema_problem, upgrade
from tests.fixtures.worker_process import System
from tests.pooler.conftest import StartPooler, database_name, open_pooled
from tests.pooler.pgbouncer import MISSING, find_program

CLIENTS, ROUNDS = 4, 25


async def add(database: Database, terms: int) -> int:
    """Let PostgreSQL add so many numbers in two transactions, each statement with its own number of parameters."""
    names = [f"n{number}" for number in range(terms)]
    statement = text("SELECT " + " + ".join(f"CAST(:{name} AS int)" for name in names))
    values = dict.fromkeys(names, 1)
    async with database.unit_of_work() as work:
        first = int(await work.scalar(statement, values) or 0)
        second = int(await work.scalar(statement, values) or 0)
    async with database.autocommit() as work:
        third = int(await work.scalar(statement, values) or 0)
    return first + second + third


async def test_clients_that_share_connections_never_get_each_others_statements(pooled_url: str) -> None:
    databases = [open_pooled(pooled_url) for _ in range(CLIENTS)]
    try:
        for _ in range(ROUNDS):
            terms = list(range(1, 4 * CLIENTS + 1))
            sums = await asyncio.gather(*(add(databases[n % CLIENTS], n) for n in terms))
            assert sums == [3 * n for n in terms]
        async with databases[0].unit_of_work() as work:
            assert await work.scalar(text("SELECT count(*) FROM pg_prepared_statements")) == 0
    finally:
        for database in databases:
            await database.close()


async def test_pooler_with_its_default_settings_accepts_the_connection(pooled_database: Database) -> None:
    assert (await pooled_database.ping()).split(".")[0] >= "15"


@pytest.mark.parametrize("kind", ["unit_of_work", "autocommit"])
async def test_isolation_level_that_another_client_leaves_behind_has_no_effect(
    start_pooler: StartPooler, limited_database_url: str, kind: str
) -> None:
    url = start_pooler(default_pool_size=1).url(database_name(limited_database_url))
    other = await asyncpg.connect(url, statement_cache_size=0)
    await other.execute("SET default_transaction_isolation = 'serializable'")
    await other.close()
    database = open_pooled(url)
    async with getattr(database, kind)() as work:
        shown = [
            await work.scalar(text(f"SHOW {name}"))
            for name in ("default_transaction_isolation", "transaction_isolation")
        ]
    await database.close()
    assert shown == ["serializable", "read committed"]


async def test_time_limits_of_the_role_apply(pooled_database: Database) -> None:
    async with pooled_database.unit_of_work() as work:
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        assert [await work.scalar(text(f"SHOW {name}")) for name in names] == ["30s", "10s", "1min"]


async def test_schema_is_read_through_the_pooler_and_changed_only_without_it(
    pooled_url: str, database_url: str
) -> None:
    pooled = asyncpg_url(pooled_url)
    assert await schema_problem(pooled, pooled=True) is None
    for change in (upgrade(pooled), downgrade(pooled, "0001")):
        with pytest.raises(InvalidInputError, match="PostgreSQL's own address"):
            await change
    await downgrade(asyncpg_url(database_url), "0001")
    assert head_revision() in str(await schema_problem(pooled, pooled=True))


async def test_migrate_says_in_one_line_that_it_needs_the_servers_own_address(
    pooled_system: System, system: System
) -> None:
    for environment in ({}, {"DB_POOLER": "none"}):
        refused = await pooled_system.run("migrate", **environment)
        assert (refused.code, refused.out, len(refused.error.splitlines())) == (2, "", 1), refused.error
        assert "PostgreSQL's own address in DATABASE_URL" in refused.error
    assert (await system.run("migrate")).code == 0


def test_missing_pgbouncer_fails_the_test_and_does_not_skip_it() -> None:
    with pytest.raises(pytest.fail.Exception, match="PgBouncer is not installed: apt-get install pgbouncer"):
        find_program("/nowhere")
    assert MISSING.endswith("pgbouncer")
