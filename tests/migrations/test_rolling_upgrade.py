"""Migrations keep what older programs need: columns that they read exist, and rows that they write are accepted."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from alembic.script import ScriptDirectory

from domain.jobs import JobStatus
from infrastructure.database.connecting import asyncpg_url
from infrastructure.database.migrate import _config, head_revision, upgrade
from tests.fixtures.servers import Servers, in_thread
from tests.fixtures.worker_process import System, until_finished
from worker.client import Client

REVISIONS = [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]
DROPPED: frozenset[tuple[str, str]] = frozenset()
"""Columns, as (table, column), that a release dropped after no supported release used them any more."""

Columns = Mapping[tuple[str, str], Mapping[str, Any]]


async def columns(url: str) -> Columns:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name <> 'alembic_version'"
        )
    finally:
        await connection.close()
    return {(row["table_name"], row["column_name"]): dict(row) for row in rows}


async def checks(url: str) -> Mapping[str, str]:
    connection = await asyncpg.connect(url)
    try:
        query = "SELECT conname, pg_get_constraintdef(oid) AS rule FROM pg_constraint WHERE contype = 'c'"
        return {row["conname"]: row["rule"] for row in await connection.fetch(query)}
    finally:
        await connection.close()


def broken_by(before: Columns, after: Columns) -> list[str]:
    """List the changes that break a program of `before`, one line each."""
    tables = {table for table, _ in before}
    changes = [f"{place} is gone" for place in before if place not in after]
    for place, new in after.items():
        old = before.get(place)
        if place[0] not in tables:
            continue
        if old is not None and old["data_type"] != new["data_type"]:
            changes.append(f"{place} has another type")
        if is_required(new) and (old is None or not is_required(old)):
            changes.append(f"{place} is required now")
    return changes


def is_required(column: Mapping[str, Any]) -> bool:
    return column["is_nullable"] == "NO" and column["column_default"] is None


@pytest.mark.parametrize("revision", REVISIONS[:-1])
async def test_tables_of_an_older_program_are_still_there(servers: Servers, database_url: str, revision: str) -> None:
    name = servers.new_database(template=None)
    try:
        old_url = servers.postgres.url(name)
        in_thread(upgrade(asyncpg_url(old_url), revision))
        before = {place: column for place, column in (await columns(old_url)).items() if place not in DROPPED}
        old_checks = await checks(old_url)
    finally:
        servers.drop_database(name)
    assert broken_by(before, await columns(database_url)) == []
    now = await checks(database_url)
    assert {name: now[name] for name in old_checks if name in now} == {n: old_checks[n] for n in old_checks if n in now}


def test_a_migration_that_breaks_older_programs_is_detected() -> None:
    text = {"data_type": "text", "is_nullable": "YES", "column_default": None}
    must = {**text, "is_nullable": "NO"}
    given = {**must, "column_default": "''"}
    before = {("t", "gone"): text, ("t", "typed"): text, ("t", "must"): text, ("t", "default"): given}
    after = {
        ("t", "typed"): {**text, "data_type": "integer"},
        ("t", "must"): must,
        ("t", "default"): must,
        ("t", "new"): must,
        ("t", "fine"): given,
        ("other", "new"): must,
    }
    assert len(broken_by(before, after)) == 5
    assert broken_by(before, before) == []


async def test_the_current_worker_runs_a_job_of_the_first_release(system: System, client: Client) -> None:
    """The row has the columns that the INSERT of the first release (revision 0001) set."""
    user_id = await client.get_or_create_user("ann@example.org")
    connection = await asyncpg.connect(system.environment["DATABASE_URL"])
    job_id = uuid4().hex
    await connection.execute(
        "INSERT INTO jobs (job_id, user_id, status, source_kind, source_metadata, idempotency_key, ring, rung_at)"
        " VALUES ($1, $2, 'pending', 'upload', $3::jsonb, NULL, 1, NULL)",
        job_id,
        user_id,
        '{"upload_filename": "a.py", "file_data": "eCA9IDEK", "project_name": null}',
    )
    await connection.close()
    async with system.worker():
        assert (await until_finished(client, user_id, job_id)).status is JobStatus.COMPLETED


async def test_an_attempt_of_the_first_release_works_on_the_current_schema(database_url: str) -> None:
    """Run the claim, the insert of the run and the completion of the first release (revision 0001)."""
    connection = await asyncpg.connect(database_url)
    user_id = await connection.fetchval("INSERT INTO users (email) VALUES ('a@example.org') RETURNING id")
    await connection.execute(
        "INSERT INTO jobs (job_id, user_id, status, source_kind, source_metadata)"
        " VALUES ('j', $1, 'pending', 'upload', '{}')",
        user_id,
    )
    token = await connection.fetchval(
        "UPDATE jobs SET status = 'running', attempt = attempt + 1, lease_token = gen_random_uuid(),"
        " lease_expires_at = now() + interval '30 s', started_at = now() WHERE status = 'pending' RETURNING lease_token"
    )
    run_id = await connection.fetchval(
        "INSERT INTO analysis_runs (user_id, submission_type, metrics, errors, job_id, findings, duration_ms,"
        " timings_ms, tool_versions, completeness)"
        " VALUES ($1, 'upload', '{}', '[]', 'j', '{}', 1, '{}', '{}', '{}') RETURNING run_id",
        user_id,
    )
    done = await connection.execute(
        "UPDATE jobs SET status = 'completed', result_run_id = $1, finished_at = now(), lease_token = NULL,"
        " lease_expires_at = NULL, progress = 100 WHERE job_id = 'j' AND lease_token = $2 AND status = 'running'",
        run_id,
        token,
    )
    await connection.close()
    assert done == "UPDATE 1"
    assert REVISIONS[-1] == head_revision()
