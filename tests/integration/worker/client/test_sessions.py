"""Sessions of people in a browser, on real servers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.audit import Action, Actor
from domain.errors import InvalidKeyError, NotFoundError, PermissionDeniedError
from domain.keys import USER_PERMISSIONS, Permission
from domain.sessions import MAX_SESSIONS
from infrastructure.database.access.audit_log import AuditRepository
from infrastructure.database.access.sessions import _FIND, SessionRepository
from infrastructure.database.engine import Database
from tests.fixtures.checks.plans import plans_of
from tests.fixtures.worker_process import System
from worker.client import Client
from worker.client.operator import OperatorClient
from worker.jobs.cleanup import cleanup

ADDRESS = "192.0.2.7"


async def execute(database: Database, query: str, **values: Any) -> None:
    async with database.unit_of_work() as work:
        await work.execute(text(query), values)


async def count(database: Database, table: str) -> int:
    async with database.unit_of_work() as work:
        return int(await work.scalar(text(f"SELECT count(*) FROM {table}")))  # noqa: S608 - the test's own


async def test_a_link_signs_in_once_whoever_is_first(client: Client, user_id: UUID, database: Database) -> None:
    link = await client.sessions.create_link(user_id)
    await client.sessions.check_link(link)
    await client.sessions.check_link(link)  # looking at it does not use it up
    tries = await asyncio.gather(*(client.sessions.begin_by_link(link) for _ in range(20)), return_exceptions=True)
    (created,) = [each for each in tries if not isinstance(each, BaseException)]
    assert [type(each) for each in tries].count(InvalidKeyError) == 19
    found = await client.sessions.identify(created.text)
    assert (found.user_id, found.permissions) == (user_id, USER_PERMISSIONS)
    with pytest.raises(InvalidKeyError, match="make a new one"):
        await client.sessions.check_link(link)
    assert await count(database, "sessions") == 1


async def test_neither_a_link_nor_a_session_is_stored(client: Client, user_id: UUID, database: Database) -> None:
    link, other = [await client.sessions.create_link(user_id) for _ in range(2)]
    created = await client.sessions.begin_by_link(link)
    async with database.unit_of_work() as work:
        stored = [*(await work.scalars(text("SELECT t::text FROM sessions AS t")))]
        stored += [*(await work.scalars(text("SELECT t::text FROM sign_in_tokens AS t")))]
    for secret in (link, other, created.text):
        assert not any(secret in row for row in stored)
        assert secret not in repr(created)


async def test_links_and_sessions_expire(client: Client, user_id: UUID, database: Database, system: System) -> None:
    late = await client.sessions.create_link(user_id)
    await execute(database, "UPDATE sign_in_tokens SET expires_at = now() - interval '1 second'")
    with pytest.raises(InvalidKeyError):
        await client.sessions.begin_by_link(late)
    for change in ("expires_at = now() - interval '1 second'", "last_seen_at = now() - interval '73 hours'"):
        created = await client.sessions.begin_by_link(await client.sessions.create_link(user_id))
        await execute(database, f"UPDATE sessions SET created_at = now() - interval '4 days', {change}")  # noqa: S608
        with pytest.raises(InvalidKeyError, match="sign in again"):
            await client.sessions.identify(created.text)
    alive = await client.sessions.begin_by_link(await client.sessions.create_link(user_id))
    await execute(
        database,
        "UPDATE sessions SET expires_at = expires_at - interval '4 days' WHERE last_seen_at < now() - interval '1 day'",
    )
    await cleanup(database, system.settings)
    assert await count(database, "sign_in_tokens") == 0
    assert await count(database, "sessions") == 1
    await client.sessions.identify(alive.text)


async def test_a_session_moves_its_time_at_most_once_a_minute(
    client: Client, user_id: UUID, database: Database
) -> None:
    created = await client.sessions.begin_by_link(await client.sessions.create_link(user_id))
    times = []
    for age in (30, 90):
        await execute(database, f"UPDATE sessions SET last_seen_at = now() - interval '{age} seconds'")  # noqa: S608
        await client.sessions.identify(created.text)
        async with database.unit_of_work() as work:
            times.append(await work.scalar(text("SELECT now() - last_seen_at < interval '5 seconds' FROM sessions")))
    assert times == [False, True]


async def test_a_session_begun_with_a_key_ends_with_the_key(client: Client, user_id: UUID, database: Database) -> None:
    for end in (
        "UPDATE api_keys SET is_active = false",
        "UPDATE api_keys SET expires_at = now()",
        "DELETE FROM api_keys",
    ):
        key = await client.keys.create(user_id, name="mine", permissions=[Permission.READ])
        created = await client.sessions.begin_by_key(key.text)
        assert (await client.sessions.identify(created.text)).permissions == {Permission.READ}
        await execute(database, end)
        with pytest.raises(InvalidKeyError):
            await client.sessions.identify(created.text)
        with pytest.raises(InvalidKeyError):
            await client.sessions.begin_by_key(key.text)


async def test_sessions_end_one_by_one_or_all(client: Client, user_id: UUID) -> None:
    texts = [(await client.sessions.begin_by_link(await client.sessions.create_link(user_id))).text for _ in range(3)]
    await client.sessions.end(texts[0])
    await client.sessions.end(texts[0])
    await client.sessions.end("no session")
    with pytest.raises(InvalidKeyError):
        await client.sessions.identify(texts[0])
    assert await client.sessions.end_all(user_id) == 2
    for each in texts:
        with pytest.raises(InvalidKeyError):
            await client.sessions.identify(each)


async def test_a_new_session_ends_the_oldest_of_too_many(client: Client, user_id: UUID, database: Database) -> None:
    first, *others = [
        (await client.sessions.begin_by_link(await client.sessions.create_link(user_id))).text
        for _ in range(MAX_SESSIONS + 1)
    ]
    with pytest.raises(InvalidKeyError):
        await client.sessions.identify(first)
    for each in (others[0], others[-1]):
        await client.sessions.identify(each)
    assert await count(database, "sessions") == MAX_SESSIONS


@pytest.mark.parametrize("secret", ["", "x" * 42, "x" * 44, "x" * 43, "é" * 43, "\0" * 43, "x" * 10_000_000])
async def test_any_other_text_is_no_session_and_no_link(client: Client, secret: str) -> None:
    calls: list[Callable[[str], Awaitable[Any]]] = [
        client.sessions.identify,
        client.sessions.check_link,
        client.sessions.begin_by_link,
        client.sessions.begin_by_key,
    ]
    for call in calls:
        with pytest.raises(InvalidKeyError):
            await call(secret)


async def test_only_an_operator_makes_links_that_operate(client: Client, user_id: UUID, system: System) -> None:
    with pytest.raises(PermissionDeniedError, match="only an operator"):
        await client.sessions.create_link(user_id, list(Permission))
    async with OperatorClient.open(system.settings) as operator:
        link = await operator.user_client.sessions.create_link(user_id, list(Permission))
        with pytest.raises(NotFoundError):
            await client.sessions.create_link(UUID(int=1))
    created = await client.sessions.begin_by_link(link)
    assert Permission.OPERATE in created.session.permissions


async def test_signing_in_and_out_is_in_the_audit_log(client: Client, user_id: UUID, database: Database) -> None:
    browser = client.for_request(ADDRESS, "Browser/1")
    created = await browser.sessions.begin_by_link(await client.sessions.create_link(user_id))
    await browser.sessions.end(created.text)
    async with database.unit_of_work() as work:
        entries = await AuditRepository(work).list_entries(limit=10)
    assert [(entry.action, entry.address, entry.user_agent, entry.user_id) for entry in entries] == [
        (Action.SIGN_OUT, ADDRESS, "Browser/1", user_id),
        (Action.SIGN_IN, ADDRESS, "Browser/1", user_id),
    ]
    assert {entry.resource_id for entry in entries} == {str(created.session.session_id)}


async def test_no_statement_reads_all_sessions(client: Client, user_id: UUID, database: Database) -> None:
    await execute(
        database,
        "INSERT INTO users (email) SELECT 'user' || n || '@example.org' FROM generate_series(1, 10000) AS n",
    )
    for table, columns in (("sessions", "id, user_id, token_hash,"), ("sign_in_tokens", "user_id, token_hash,")):
        await execute(
            database,
            f"""
            INSERT INTO {table} ({columns} permissions, expires_at)
            SELECT {"gen_random_uuid()," if table == "sessions" else ""} id, sha256((email || n)::bytea), '{{read}}',
                now() + interval '14 days' - n * interval '1 day'
            FROM users, generate_series(1, 10) AS n
            """,  # noqa: S608 - the test's own
        )
        await execute(database, f"ANALYZE {table}")
    token = b"x" * 32
    calls: list[Callable[[SessionRepository], Awaitable[Any]]] = [
        lambda sessions: sessions._connection.execute(_FIND, {"token_hash": token}),
        lambda sessions: sessions.end(token, Actor()),
        lambda sessions: sessions.end_all(user_id, Actor()),
        lambda sessions: sessions.is_link_usable(token),
        lambda sessions: sessions.delete_of_user(user_id, 100),
        lambda sessions: sessions.delete_expired(100),
        lambda sessions: sessions.create(user_id, token, [Permission.READ], key_id=None, actor=Actor()),
    ]
    for call in calls:
        plan = await plans_of(database, lambda work, call=call: call(SessionRepository(work)))  # type: ignore[misc]
        assert "sessions" in plan or "sign_in_tokens" in plan
        assert "Seq Scan on s" not in plan, plan
