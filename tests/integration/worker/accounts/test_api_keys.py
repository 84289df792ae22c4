"""API keys: made, listed, used and revoked, on real servers."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from structlog.testing import capture_logs

from domain.audit import Action, Actor
from domain.errors import (
    InvalidKeyError,
    LimitExceededError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServiceUnavailableError,
)
from domain.keys import MAX_KEYS, KeyRequest, Permission, make_key
from infrastructure.database.access.api_keys import _FIND, ApiKeyRepository, find_keys
from infrastructure.database.access.audit_log import AuditRepository
from infrastructure.database.engine import Database
from infrastructure.database.repositories.users import UserRepository
from tests.fixtures.checks.plans import plans_of
from tests.fixtures.worker_process import System
from worker.client import Client
from worker.client.operator import OperatorClient

ADDRESS = "192.0.2.7"


async def column(database: Database, query: str, **values: Any) -> list[Any]:
    async with database.unit_of_work() as work:
        return list((await work.scalars(text(query), values)).all())


async def execute(database: Database, query: str, **values: Any) -> None:
    async with database.unit_of_work() as work:
        await work.execute(text(query), values)


async def uses(database: Database) -> list[str | None]:
    """Return the addresses of the entries about uses, oldest first."""
    async with database.unit_of_work() as work:
        found = await AuditRepository(work).list_entries(action=Action.USE_KEY, limit=100)
    return [entry.address for entry in reversed(found)]


@asynccontextmanager
async def without_redis(system: System) -> AsyncIterator[Client]:
    """Open a client whose Redis refuses connections."""
    settings = system.settings.model_copy(update={"redis_url": None, "redis_host": "127.0.0.1", "redis_port": 1})
    async with Client.open(settings, lazy_redis=True) as client:
        yield client


async def test_a_key_says_whose_it_is_and_what_it_allows(client: Client, user_id: UUID) -> None:
    created = await client.keys.create(user_id, name="ci", permissions=["submit", "read"], rate_limit=50)
    found = await client.keys.authenticate(created.text)
    assert (found.user_id, found.key_id) == (user_id, created.key.key_id)
    assert found.permissions == {Permission.READ, Permission.SUBMIT}
    limit = found.rate_limit
    assert (limit.limit, limit.remaining, limit.window_seconds) == (50, 49, 3600)
    assert 3590 <= limit.reset_seconds <= 3600


async def test_neither_the_key_nor_its_secret_is_stored_or_shown(
    client: Client, user_id: UUID, database: Database, redis: Redis
) -> None:
    created = await client.keys.create(user_id, name="ci")
    await client.for_request(ADDRESS, "agent").keys.authenticate(created.text)
    secret = created.text.split("_", 2)[2]
    raw = base64.urlsafe_b64decode(secret + "=")
    rows = await column(database, "SELECT t::text FROM api_keys AS t UNION ALL SELECT t::text FROM audit_logs AS t")
    keys = [key.decode() async for key in redis.scan_iter("*")]
    for stored in (*rows, *keys, repr(created), repr(created.key.to_json())):
        assert secret not in stored
        assert raw.hex() not in stored
    assert created.key.prefix in rows[0]


async def test_wrong_keys_are_refused_in_the_same_words(client: Client, user_id: UUID) -> None:
    created = await client.keys.create(user_id, name="ci")
    prefix, secret = created.key.prefix, created.text.split("_", 2)[2]
    wrong = [
        make_key(prefix, secrets.token_urlsafe(32)),
        make_key("0" * 12, secret),
        make_key(prefix, secret[:-1] + ("A" if secret[-1] != "A" else "B")),
        prefix, "", "\x00", created.text + "\x00", created.text[:-1] + "\x00", "x" * 10_000_000,
    ]  # fmt: skip
    for each in wrong:
        with pytest.raises(InvalidKeyError) as caught:
            await client.keys.authenticate(each)
        assert str(caught.value) == "the API key is not valid"
    assert (await client.keys.authenticate(created.text)).user_id == user_id


async def test_a_key_is_found_among_others_with_its_prefix(client: Client, user_id: UUID, database: Database) -> None:
    other = await client.get_or_create_user("b@example.org")
    mine, theirs = await client.keys.create(user_id, name="a"), await client.keys.create(other, name="b")
    assert (await client.keys.authenticate(theirs.text)).user_id == other
    await execute(database, "UPDATE api_keys SET prefix = :prefix", prefix=mine.key.prefix)
    assert (await client.keys.authenticate(mine.text)).user_id == user_id


async def test_revoked_and_expired_keys_are_refused(client: Client, user_id: UUID, database: Database) -> None:
    created = await client.keys.create(user_id, name="ci")
    await client.keys.authenticate(created.text)
    assert not (await client.keys.revoke(user_id, created.key.key_id)).is_active
    with pytest.raises(InvalidKeyError, match="revoked"):
        await client.keys.authenticate(created.text)
    ends = datetime.now(UTC) + timedelta(hours=1)
    second = await client.keys.create(user_id, name="short", expires_at=ends)
    assert second.key.expires_at == ends
    await client.keys.authenticate(second.text)
    await execute(database, "UPDATE api_keys SET expires_at = now()")
    with pytest.raises(InvalidKeyError, match="expired"):
        await client.keys.authenticate(second.text)
    assert [key.state(datetime.now(UTC)) for key in await client.keys.list(user_id)] == ["expired", "revoked"]


async def test_a_key_that_is_revoked_while_it_is_used_is_refused(
    client: Client, user_id: UUID, database: Database
) -> None:
    created = await client.keys.create(user_id, name="ci")
    found = await find_keys(database, created.key.prefix)
    await client.keys.revoke(user_id, created.key.key_id)
    async with database.unit_of_work() as work:
        assert not await ApiKeyRepository(work).touch(found[0].key.key_id)


async def test_last_use_moves_once_a_minute_however_many_use_the_key(
    client: Client, user_id: UUID, database: Database
) -> None:
    created = await client.keys.create(user_id, name="ci")
    await asyncio.gather(*(client.keys.authenticate(created.text) for _ in range(10)))
    (first,) = await column(database, "SELECT last_used FROM api_keys")
    await execute(database, "UPDATE api_keys SET last_used = now() - interval '59 seconds'")
    before = await column(database, "SELECT last_used FROM api_keys")
    await client.keys.authenticate(created.text)
    assert await column(database, "SELECT last_used FROM api_keys") == before
    await execute(database, "UPDATE api_keys SET last_used = now() - interval '61 seconds'")
    await client.keys.authenticate(created.text)
    assert (await column(database, "SELECT last_used FROM api_keys"))[0] >= first


async def test_a_key_is_refused_after_the_requests_of_its_hour(client: Client, user_id: UUID, redis: Redis) -> None:
    created = await client.keys.create(user_id, name="ci", rate_limit=3)
    other = await client.keys.create(user_id, name="other", rate_limit=3)
    left = [(await client.keys.authenticate(created.text)).rate_limit.remaining for _ in range(3)]
    assert left == [2, 1, 0]
    with pytest.raises(RateLimitedError, match="3 requests") as caught:
        await client.keys.authenticate(created.text)
    assert caught.value.limit == 3
    assert 0 < caught.value.reset_seconds <= 3600
    assert (await client.keys.authenticate(other.text)).rate_limit.remaining == 2
    (counter,) = [key async for key in redis.scan_iter(f"vibe8:key:{created.key.key_id}:requests")]
    assert 0 < await redis.ttl(counter) <= 3600
    await redis.pexpire(counter, 1)
    await asyncio.sleep(0.05)
    assert (await client.keys.authenticate(created.text)).rate_limit.remaining == 2


async def test_racing_requests_do_not_pass_the_limit(client: Client, user_id: UUID) -> None:
    created = await client.keys.create(user_id, name="ci", rate_limit=10)
    results = await asyncio.gather(*(client.keys.authenticate(created.text) for _ in range(60)), return_exceptions=True)
    allowed = [each for each in results if not isinstance(each, BaseException)]
    assert len(allowed) == 10
    assert all(isinstance(each, RateLimitedError) for each in results if isinstance(each, BaseException))


@pytest.mark.parametrize("kind", ["list", "text", "endless"])
async def test_counters_that_another_program_wrote_are_replaced(
    client: Client, user_id: UUID, redis: Redis, kind: str
) -> None:
    created = await client.keys.create(user_id, name="ci", rate_limit=3)
    name = f"vibe8:key:{created.key.key_id}:requests"
    if kind == "list":
        await redis.lpush(name, "x")  # type: ignore[misc]
    else:
        await redis.set(name, {"text": "many", "endless": "1000"}[kind])
    assert (await client.keys.authenticate(created.text)).rate_limit.remaining == 2
    assert (await client.keys.authenticate(created.text)).rate_limit.remaining == 1


async def test_without_redis_no_request_is_refused_and_one_line_is_logged(
    system: System, client: Client, user_id: UUID, database: Database
) -> None:
    created = await client.keys.create(user_id, name="ci", rate_limit=1)
    async with without_redis(system) as cut_off:
        asked = cut_off.for_request(ADDRESS)
        with capture_logs() as logs:
            found = [await asked.keys.authenticate(created.text) for _ in range(5)]
    assert {key.rate_limit.remaining for key in found} == {1}
    assert [entry["event"] for entry in logs] == ["key.rate_limit_unavailable"]
    assert await uses(database) == [ADDRESS]


async def test_without_redis_racing_first_uses_leave_one_entry(
    system: System, client: Client, user_id: UUID, database: Database
) -> None:
    created = await client.keys.create(user_id, name="ci")
    async with without_redis(system) as cut_off:
        asked = cut_off.for_request(ADDRESS)
        await asyncio.gather(*(asked.keys.authenticate(created.text) for _ in range(10)))
        await cut_off.for_request("192.0.2.8").keys.authenticate(created.text)
        await cut_off.keys.authenticate(created.text)
    assert sorted(await uses(database), key=str) == [ADDRESS, "192.0.2.8", None]


async def test_a_day_s_first_use_from_each_address_leaves_an_entry(
    client: Client, user_id: UUID, database: Database, redis: Redis
) -> None:
    created = await client.keys.create(user_id, name="ci")
    for address in (ADDRESS, "2001:db8::7", ADDRESS, None, "not an address"):
        await asyncio.gather(*(client.for_request(address).keys.authenticate(created.text) for _ in range(3)))
    assert await uses(database) == [ADDRESS, "2001:db8::7", None]
    marks = [key async for key in redis.scan_iter(f"vibe8:key:{created.key.key_id}:20*")]
    assert len(marks) == 3
    assert all([86_000 < await redis.ttl(mark) <= 86_400 for mark in marks])


async def test_a_use_that_was_not_recorded_is_recorded_later(
    client: Client, user_id: UUID, database: Database, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = await client.keys.create(user_id, name="ci")

    async def fail(*_: Any, **__: Any) -> None:
        raise ServiceUnavailableError("PostgreSQL: the connection was lost")

    with monkeypatch.context() as patch:
        patch.setattr(ApiKeyRepository, "record_use", fail)
        with pytest.raises(ServiceUnavailableError):
            await client.for_request(ADDRESS).keys.authenticate(created.text)
    (mark,) = [key async for key in redis.scan_iter(f"vibe8:key:{created.key.key_id}:20*")]
    assert 0 < await redis.ttl(mark) <= 60
    await redis.delete(mark)  # as after a minute
    await client.for_request(ADDRESS).keys.authenticate(created.text)
    assert await uses(database) == [ADDRESS]


async def test_making_and_revoking_leave_entries_with_name_and_prefix(
    system: System, client: Client, user_id: UUID, database: Database
) -> None:
    created = await client.for_request(ADDRESS, "agent").keys.create(user_id, name="ci")
    for _ in range(2):
        await client.keys.revoke(user_id, created.key.key_id)
    async with OperatorClient.open(system.settings) as operator:
        made = await operator.user_client.keys.create(user_id, name="ops", permissions=["operate"], rate_limit=10_000)
        assert (await client.keys.authenticate(made.text)).permissions == {Permission.OPERATE}
        entries = [each for each in await operator.list_audit_entries(limit=10) if each.action != "use_key"]
    assert [(each.action, each.resource_type, each.resource_id) for each in entries] == [
        ("create_key", "key", str(made.key.key_id)),
        ("revoke_key", "key", str(created.key.key_id)),
        ("create_key", "key", str(created.key.key_id)),
    ]
    assert entries[0].details == {"name": "ops", "prefix": made.key.prefix, "by": "operator"}
    assert (entries[2].address, entries[2].user_agent) == (ADDRESS, "agent")
    assert {each.user_id for each in entries} == {user_id}


async def test_a_user_cannot_make_a_key_that_operates(client: Client, user_id: UUID, database: Database) -> None:
    with pytest.raises(PermissionDeniedError):
        await client.keys.create(user_id, name="ci", permissions=["operate"])
    assert await column(database, "SELECT count(*) FROM api_keys") == [0]


async def test_a_user_has_a_limited_number_of_keys(client: Client, user_id: UUID, database: Database) -> None:
    await execute(
        database,
        """
        INSERT INTO api_keys (user_id, name, prefix, key_hash, permissions, is_active, expires_at, created_at)
        SELECT :user_id, number::text, 'p', sha256(number::text::bytea), ARRAY['read'], number <> 5,
            CASE number WHEN 7 THEN now() END, now() - make_interval(days => 200 - number)
        FROM generate_series(1, CAST(:count AS int)) AS number
        """,
        user_id=user_id,
        count=MAX_KEYS,
    )
    results = await asyncio.gather(*(client.keys.create(user_id, name="new") for _ in range(5)), return_exceptions=True)
    refused = [each for each in results if isinstance(each, BaseException)]
    assert [type(each) for each in refused] == [LimitExceededError] * 3
    names = [key.name for key in await client.keys.list(user_id)]
    assert len(names) == MAX_KEYS
    assert names[:2] == ["new", "new"]
    assert not {"5", "7"} & set(names)


async def test_unknown_users_have_no_keys(client: Client) -> None:
    nobody = UUID(int=5)
    with pytest.raises(NotFoundError):
        await client.keys.create(nobody, name="ci")
    assert await client.keys.list(nobody) == []


async def test_deleting_a_user_ends_the_keys_and_leaves_no_address(
    client: Client, user_id: UUID, database: Database
) -> None:
    created = [await client.keys.create(user_id, name="ci") for _ in range(5)]
    asked = client.for_request(ADDRESS, "agent")
    results = await asyncio.gather(
        client.delete_user(user_id), *(asked.keys.authenticate(each.text) for each in created), return_exceptions=True
    )
    assert results[0] is None
    assert all(isinstance(each, InvalidKeyError) for each in results[1:] if isinstance(each, BaseException))
    for each in created:
        with pytest.raises(InvalidKeyError):
            await asked.keys.authenticate(each.text)
    assert await column(database, "SELECT count(*) FROM api_keys") == [0]
    assert await column(database, "SELECT count(*) FROM audit_logs WHERE ip_address IS NOT NULL") == [0]


async def test_a_use_that_holds_the_key_is_waited_for_by_the_deletion(
    client: Client, user_id: UUID, database: Database
) -> None:
    created = await client.keys.create(user_id, name="ci")
    async with database.unit_of_work() as work:
        keys = ApiKeyRepository(work)
        assert await keys.touch(created.key.key_id)
        deleting = asyncio.create_task(client.delete_user(user_id))
        await keys.record_use(created.key.key_id, client.for_request(ADDRESS)._actor, known_first=True)
    await deleting
    assert await column(database, "SELECT count(*) FROM audit_logs WHERE ip_address IS NOT NULL") == [0]
    async with database.unit_of_work() as work:
        with pytest.raises(NotFoundError):
            await UserRepository(work).delete(user_id, 100)


FILL = (
    "INSERT INTO users (email) SELECT number || '@example.org' FROM generate_series(1, 1000) AS number",
    """
    INSERT INTO api_keys (user_id, name, prefix, key_hash, permissions)
    SELECT users.id, 'k', substr(md5(number || ' ' || email), 1, 12), sha256((number || ' ' || email)::bytea),
        ARRAY['read', 'submit']
    FROM users, generate_series(1, 100) AS number WHERE email ~ '^[0-9]'
    """,
    """
    INSERT INTO audit_logs (user_id, action, resource_type, resource_id, ip_address, created_at)
    SELECT user_id, 'use_key', 'key', id::text, '192.0.2.1', now() FROM api_keys
    """,
    "ANALYZE api_keys, users, audit_logs",
)
"""100,000 keys of a thousand users, each used today."""


async def test_no_statement_reads_all_of_100_000_keys(client: Client, user_id: UUID, database: Database) -> None:
    created = await client.keys.create(user_id, name="ci")
    key_id = created.key.key_id
    for query in FILL:
        await execute(database, query)
    asked = KeyRequest(name="n", permissions=frozenset(Permission), rate_limit=1, expires_at=None)
    actor = Actor(address=ADDRESS)
    calls: dict[str, Callable[[ApiKeyRepository], Awaitable[Any]]] = {
        "find": lambda keys: keys._connection.execute(_FIND, {"prefix": created.key.prefix}),
        "list": lambda keys: keys.list_keys(user_id),
        "get": lambda keys: keys.get(key_id),
        "create": lambda keys: keys.create(user_id, asked, prefix="p", key_hash=b"h", actor=actor),
        "revoke": lambda keys: keys.revoke(key_id, actor),
        "touch": lambda keys: keys.touch(key_id),
        "first use": lambda keys: keys.record_use(key_id, actor, known_first=False),
        "delete": lambda keys: keys.delete_of_user(user_id, 5_000),
    }
    partition = f"audit_logs_{datetime.now(UTC):%Y_%m}"
    for name, call in calls.items():
        plan = await plans_of(database, lambda work, call=call: call(ApiKeyRepository(work)))  # type: ignore[misc]
        assert "api_keys" in plan, name
        assert f"on {partition}" in plan or name != "first use", plan
        for table in ("api_keys", "users", partition):
            assert f"Seq Scan on {table}" not in plan, (name, plan)
    async with database.unit_of_work() as work:
        query = "SELECT pg_table_size('api_keys') / 100000.0, pg_indexes_size('api_keys') / 100000.0"
        row = (await work.execute(text(query))).one()
    print(f"{row[0]:.0f} bytes a key, {row[1]:.0f} of its indexes")
