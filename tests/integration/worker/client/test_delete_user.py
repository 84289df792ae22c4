"""Deletion of a user with many rows: in chunks, with everything that is submitted meanwhile."""

import asyncio
import contextlib
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from domain.errors import LimitExceededError, NotFoundError, ServiceUnavailableError
from infrastructure.database import chunks
from infrastructure.database.engine import Database
from infrastructure.database.repositories.runs import RunRepository, SerializedRun
from infrastructure.database.repositories.users import DeletedRows, UserRepository
from tests.fixtures.control.evaluations import submit_evaluation
from tests.fixtures.jobs import PYTHON_FILE, claim_next, new_run
from worker.client import Client

URL = "https://github.com/owner/repo"
TABLES = (
    "users", "jobs", "job_uploads", "analysis_runs", "notices", "daily_usage", "api_keys", "evaluation_runs",
    "sessions", "sign_in_tokens", "reports", "usage_tracking",
)  # fmt: skip


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 100)


async def fill(database: Database, user_id: UUID, count: int) -> None:
    """Give the user as many jobs, runs to which they refer, and webhook deliveries."""
    async with database.unit_of_work() as connection:
        await RunRepository(connection).insert_many(
            [SerializedRun.of(new_run(user_id, f"{user_id}-{number}")) for number in range(count)]
        )
        await connection.execute(
            text("""
                INSERT INTO jobs (job_id, user_id, status, source_kind, source_metadata, result_run_id)
                SELECT job_id, user_id, 'completed', 'upload', '{}', run_id FROM analysis_runs WHERE user_id = :id
            """),
            {"id": user_id},
        )
        await connection.execute(
            text("""
                INSERT INTO reports (run_id, owner_id, short_code)
                SELECT run_id, user_id, left(run_id::text, 32) FROM analysis_runs WHERE user_id = :id
            """),
            {"id": user_id},
        )
        await connection.execute(
            text("""
                INSERT INTO notices (job_id, user_id, url, status, finished_at)
                SELECT job_id, user_id, 'https://example.org', 'completed', now() FROM jobs WHERE user_id = :id
            """),
            {"id": user_id},
        )


async def rows(database: Database) -> dict[str, int]:
    async with database.unit_of_work() as connection:
        return {table: int(await connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0) for table in TABLES}  # noqa: S608


async def test_no_transaction_deletes_more_than_a_chunk_and_nothing_is_left(
    client: Client, user_id: UUID, database: Database
) -> None:
    await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    await fill(database, user_id, 450)
    for _ in range(3):
        key = await client.keys.create(user_id, name="k")
    for number in range(2):
        await submit_evaluation(client, user_id, name=f"e{number}")
    await client.sessions.begin_by_key(key.text)
    await client.sessions.begin_by_link(await client.sessions.create_link(user_id))
    await client.sessions.create_link(user_id)
    other = await client.get_or_create_user("b@example.org")
    await client.submit_upload(other, filename="a.py", content=PYTHON_FILE)
    await client.keys.create(other, name="k")
    await client.sessions.begin_by_link(await client.sessions.create_link(other))
    async with database.unit_of_work() as connection:
        for statement in LOG_DELETIONS:
            await connection.execute(text(statement))
    await client.delete_user(user_id)
    assert await rows(database) == {
        "users": 1, "jobs": 1, "job_uploads": 1, "analysis_runs": 0, "notices": 0, "daily_usage": 1,
        "api_keys": 1, "evaluation_runs": 0, "sessions": 1, "sign_in_tokens": 0, "reports": 0,
        "usage_tracking": 1,
    }  # fmt: skip
    async with database.unit_of_work() as connection:
        sizes = await connection.execute(
            text("SELECT name, max(count) AS most, sum(count) AS total FROM deletions GROUP BY name")
        )
        assert {row.name: (row.most, row.total) for row in sizes} == {
            "jobs": (100, 455), "analysis_runs": (100, 450), "notices": (100, 451), "users": (1, 1),
            "api_keys": (3, 3), "evaluation_runs": (2, 2), "sessions": (1, 2), "reports": (100, 450),
        }  # fmt: skip


LOG_DELETIONS = [
    "CREATE TABLE deletions (name varchar, transaction xid8, count bigint)",
    """
    CREATE FUNCTION log_deletion() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO deletions SELECT TG_TABLE_NAME, pg_current_xact_id(), count(*) FROM gone HAVING count(*) > 0;
        RETURN NULL;
    END
    $$
    """,
    *(
        f"CREATE TRIGGER log_deletion AFTER DELETE ON {table} REFERENCING OLD TABLE AS gone "
        "FOR EACH STATEMENT EXECUTE FUNCTION log_deletion()"
        for table in (
            "users",
            "jobs",
            "analysis_runs",
            "notices",
            "api_keys",
            "evaluation_runs",
            "sessions",
            "reports",
        )
    ),
]


async def test_interrupted_deletion_keeps_the_user_and_the_next_one_completes_it(
    client: Client, user_id: UUID, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database, user_id, 450)

    async def fail(*_: Any) -> DeletedRows:
        raise ServiceUnavailableError("PostgreSQL: the connection was lost")

    with monkeypatch.context() as patch:
        patch.setattr(UserRepository, "delete_runs", fail)
        with pytest.raises(ServiceUnavailableError):
            await client.delete_user(user_id)
    left = await rows(database)
    assert (left["users"], left["jobs"], left["analysis_runs"]) == (1, 0, 450)
    await client.delete_user(user_id)
    assert set((await rows(database)).values()) == {0}
    with pytest.raises(NotFoundError):
        await client.delete_user(user_id)


async def test_jobs_submitted_and_claimed_meanwhile_are_deleted_too(
    client: Client, user_id: UUID, database: Database, redis: Redis
) -> None:
    await fill(database, user_id, 900)
    submitted = 0

    async def submit_until_refused() -> None:
        nonlocal submitted
        while True:
            with contextlib.suppress(LimitExceededError):
                await client.submit_repository(user_id, url=URL, token="t")
                submitted += 1
            async with database.unit_of_work() as connection:
                await claim_next(connection)

    async def submit() -> None:
        with pytest.raises(NotFoundError):
            await submit_until_refused()

    async def end_all() -> None:
        while (await rows(database))["users"]:
            async with database.unit_of_work() as connection:
                await connection.execute(text("UPDATE jobs SET status = 'failed' WHERE status = 'running'"))

    await asyncio.gather(submit(), end_all(), client.delete_user(user_id))
    assert submitted
    assert set((await rows(database)).values()) == {0}
    assert [key async for key in redis.scan_iter("vibe8:token:*")] == []


async def test_user_with_more_rows_than_a_chunk_stays_until_they_are_deleted(
    client: Client, user_id: UUID, database: Database
) -> None:
    await fill(database, user_id, 250)
    complete: list[bool] = []
    while not complete or not complete[-1]:
        async with database.unit_of_work() as connection:
            complete.append((await UserRepository(connection).delete(user_id, 100)).complete)
    assert complete == [False, False, True]
    left = await rows(database)
    assert (left["users"], left["jobs"], left["analysis_runs"], left["notices"]) == (0, 0, 0, 0)
