"""Transactions, connections, and the translation of PostgreSQL's errors."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from domain.errors import NotFoundError, ServiceUnavailableError
from infrastructure.database import engine as engine_module
from infrastructure.database.access.usage import UsageRepository
from infrastructure.database.connecting import asyncpg_url
from infrastructure.database.engine import Database, create_engine, fetch
from infrastructure.settings import Settings
from tests.fixtures.jobs import claim_next, new_user


@asynccontextmanager
async def opened(address: str, *, pool_size: int = 1, max_overflow: int = 0) -> AsyncIterator[Database]:
    database = Database(create_engine(asyncpg_url(address), pool_size=pool_size, max_overflow=max_overflow))
    try:
        yield database
    finally:
        await database.close()


async def users(database: Database) -> int:
    async with database.unit_of_work() as connection:
        return int(await connection.scalar(text("SELECT count(*) FROM users")) or 0)


async def test_unit_of_work_commits_at_its_end_and_rolls_back_on_an_error(database: Database) -> None:
    await new_user(database)
    with pytest.raises(NotFoundError, match="mine"):  # noqa: PT012 - here and below the end of the block is tested
        async with database.unit_of_work() as connection:
            await connection.execute(text("INSERT INTO users (email) VALUES ('b@b')"))
            raise NotFoundError("mine")
    assert await users(database) == 1


async def test_a_cancelled_unit_of_work_rolls_back_and_returns_its_connection(database_url: str) -> None:
    inside = asyncio.Event()

    async def insert_and_wait(database: Database) -> None:
        async with database.unit_of_work() as connection:
            await connection.execute(text("INSERT INTO users (email) VALUES ('b@b')"))
            inside.set()
            await asyncio.Event().wait()

    async with opened(database_url) as database:
        task = asyncio.create_task(insert_and_wait(database))
        await inside.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await users(database) == 0


async def test_a_terminated_connection_is_reported_and_the_next_unit_of_work_succeeds(database_url: str) -> None:
    async with opened(database_url, pool_size=2) as database:
        assert await users(database) == 0
        async with database.unit_of_work() as other:
            with pytest.raises(ServiceUnavailableError, match="PostgreSQL"):  # noqa: PT012
                async with database.unit_of_work() as connection:
                    pid = await connection.scalar(text("SELECT pg_backend_pid()"))
                    await other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
                    await connection.scalar(text("SELECT 1 FROM users"))
        assert await users(database) == 0


@pytest.mark.parametrize("transaction", [False, True])
async def test_the_driver_runs_a_statement_with_named_parameters_as_sqlalchemy_does(
    database: Database, *, transaction: bool
) -> None:
    statement = text("SELECT CAST(:a AS int) AS a, CAST(:b AS jsonb) AS b, CAST(:a AS int) + 1 AS more")
    values = {"b": '[{"x": 1}]', "a": 1}
    async with database.driver(transaction=transaction) as connection:
        rows = await fetch(connection, statement, values)
    async with database.unit_of_work() as connection:
        assert [dict(row) for row in rows] == [dict(row) for row in await fetch(connection, statement, values)]
    assert [dict(row) for row in rows] == [{"a": 1, "b": [{"x": 1}], "more": 2}]


@pytest.mark.parametrize(("transaction", "left"), [(False, 1), (True, 0)])
async def test_an_error_rolls_back_what_the_driver_did_in_a_transaction(
    database: Database, *, transaction: bool, left: int
) -> None:
    insert = text("INSERT INTO users (email) VALUES (:email)")
    with pytest.raises(NotFoundError, match="mine"):  # noqa: PT012
        async with database.driver(transaction=transaction) as connection:
            await fetch(connection, insert, {"email": "b@b"})
            raise NotFoundError("mine")
    assert await users(database) == left


async def test_a_cancelled_statement_of_the_driver_leaves_no_connection_in_a_transaction(database_url: str) -> None:
    wait = text("WITH added AS (INSERT INTO users (email) VALUES ('b@b')) SELECT pg_sleep(600)")

    async def insert_and_wait(database: Database) -> None:
        async with database.driver(transaction=True) as connection:
            await fetch(connection, wait, {})

    async with opened(database_url) as database, opened(database_url) as other:
        task = asyncio.create_task(insert_and_wait(database))
        while not await sleeping(other):
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert await users(database) == 0


async def sleeping(database: Database) -> bool:
    async with database.unit_of_work() as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
        return bool(await connection.scalar(text(query)))


async def test_a_terminated_connection_of_the_driver_is_reported_and_the_next_one_works(database_url: str) -> None:
    terminate = text("SELECT pg_terminate_backend(pg_backend_pid())")
    async with opened(database_url) as database:
        with pytest.raises(ServiceUnavailableError, match="PostgreSQL"):
            async with database.driver() as connection:
                await fetch(connection, terminate, {})
        assert await users(database) == 0


async def test_idle_connections_killed_by_a_restart_cause_no_error(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "PING_AFTER_SECONDS", 0.0)  # as if the connections had been idle
    async with opened(database_url) as database, opened(database_url) as other:
        await users(database)
        async with other.unit_of_work() as connection:
            await connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        assert await users(database) == 0


async def test_an_unreachable_server_is_reported_without_the_password() -> None:
    for address in ("postgresql://u:secret@127.0.0.1:1/d", "postgresql://u:secret@/d?host=/nowhere"):
        async with opened(address) as database:
            with pytest.raises(ServiceUnavailableError, match="cannot be reached") as caught:
                await database.ping()
            assert "secret" not in str(caught.value)


async def test_a_server_that_never_answers_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "CONNECT_SECONDS", 0.1)
    done = asyncio.Event()

    async def never_answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, opened(f"postgresql://u:secret@127.0.0.1:{port}/d") as database:
        with pytest.raises(ServiceUnavailableError, match="did not answer"):
            await database.ping()
        done.set()


async def test_a_server_that_closes_the_connection_is_reported() -> None:
    async def close_connection(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(close_connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, opened(f"postgresql://u:secret@127.0.0.1:{port}/d") as database:
        with pytest.raises(ServiceUnavailableError):
            await database.ping()


async def test_an_unknown_database_is_reported(database_url: str) -> None:
    async with opened(database_url.replace("/test_", "/no_")) as database:
        with pytest.raises(ServiceUnavailableError, match="does not exist"):
            await database.ping()


async def test_a_missing_schema_is_reported_with_the_command_to_run(empty_database_url: str) -> None:
    async with opened(empty_database_url) as database:
        with pytest.raises(ServiceUnavailableError, match="vibe8 migrate"):
            async with database.unit_of_work() as connection:
                await claim_next(connection, 30)


@pytest.mark.parametrize("setting", ["statement_timeout", "lock_timeout"])
async def test_statement_and_lock_timeouts_are_reported(database: Database, setting: str) -> None:
    user_id = await new_user(database)
    async with database.unit_of_work() as holder:
        await UsageRepository(holder).lock_user(user_id)
        with pytest.raises(ServiceUnavailableError, match="timeout"):  # noqa: PT012
            async with database.unit_of_work() as connection:
                await connection.execute(text(f"SET LOCAL {setting} = 10"))
                await UsageRepository(connection).lock_user(user_id)


async def test_a_deadlock_is_reported(database: Database) -> None:
    first, second = await new_user(database), await new_user(database, "b@example.org")
    both_hold_one = asyncio.Barrier(2)

    async def lock(order: tuple[uuid.UUID, uuid.UUID]) -> None:
        async with database.unit_of_work() as connection:
            await UsageRepository(connection).lock_user(order[0])
            await both_hold_one.wait()
            await UsageRepository(connection).lock_user(order[1])

    ends = await asyncio.gather(lock((first, second)), lock((second, first)), return_exceptions=True)
    assert sorted(str(type(end).__name__) for end in ends) == ["NoneType", "ServiceUnavailableError"]


async def test_an_exhausted_pool_is_reported(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "POOL_SECONDS", 0.01)
    async with opened(database_url) as database, database.unit_of_work():
        with pytest.raises(ServiceUnavailableError, match="in use"):
            await database.ping()


async def test_a_bug_is_not_translated_and_shows_no_parameters(database: Database) -> None:
    with pytest.raises(DBAPIError) as caught:
        async with database.unit_of_work() as connection:
            await connection.execute(
                text("INSERT INTO jobs (job_id, user_id, status, source_kind) VALUES (:a, :b, 'x', 'y')"),
                {"a": "secret", "b": uuid.uuid4()},
            )
    assert "[SQL parameters hidden" in str(caught.value)


async def test_connections_have_the_given_name_and_time_zone(database_url: str) -> None:
    database = Database.from_settings(Settings(database_url=SecretStr(database_url), db_pool_size=1), name="vibe8-test")
    try:
        assert (await database.ping()).split(".")[0] >= "15"
        async with database.unit_of_work() as connection:
            shown = await connection.execute(
                text("SELECT current_setting('application_name'), current_setting('timezone')")
            )
            assert shown.one() == ("vibe8-test", "UTC")
    finally:
        await database.close()


_USERS_NAMED = text("SELECT email, CAST(:text AS text) AS text FROM users WHERE email = :email")


async def test_fetch_returns_rows_by_name_and_sees_what_was_committed(database: Database) -> None:
    await new_user(database, "ann@example.org")
    values = {"email": "ann@example.org", "text": "a : b"}
    (row,) = await database.fetch(_USERS_NAMED, values)
    assert dict(row) == values
    assert await database.fetch(_USERS_NAMED, {**values, "email": "nobody"}) == []


async def test_fetch_translates_errors_and_returns_its_connection(database_url: str) -> None:
    async with opened(database_url) as database:
        for _ in range(3):
            with pytest.raises(ServiceUnavailableError, match="vibe8 migrate"):
                await database.fetch(text("SELECT 1 FROM no_such_table"), {})
        with pytest.raises(ServiceUnavailableError, match="PostgreSQL"):
            await database.fetch(text("SELECT pg_terminate_backend(pg_backend_pid())"), {})
        assert len(await database.fetch(text("SELECT 1"), {})) == 1
        assert database.pool_usage() == (0, 1)


async def test_a_cancelled_fetch_leaves_no_connection_in_an_unknown_state(database_url: str) -> None:
    async with opened(database_url) as database:
        (before,) = await database.fetch(text("SELECT pg_backend_pid() AS pid"), {})
        task = asyncio.create_task(database.fetch(text("SELECT pg_sleep(60)"), {}))
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        (after,) = await database.fetch(text("SELECT pg_backend_pid() AS pid"), {})
        assert after["pid"] != before["pid"]
        assert database.pool_usage() == (0, 1)
