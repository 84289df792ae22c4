"""The schema that the migrations create: columns, indexes, CHECK constraints, triggers."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

REFERENCE_INDEXES = {
    "ix_users_email",
    "ix_users_auth0_sub",
    "ix_analysis_runs_user_id",
    "ix_analysis_runs_created_at",
    "ix_jobs_user_id",
    "ix_jobs_status",
    "ix_jobs_status_updated",
}
ADDED_INDEXES = {
    "ix_repositories_owner_url",
    "ix_repositories_owner_status",
    "ix_repositories_due",
    "ix_repositories_asked",
    "ix_repositories_settings",
    "ix_repositories_tags",
    "ix_user_repository_follows_repository",
    "ix_user_repository_follows_newest",
    "ix_repository_hook_deliveries_received_at",
    "ix_repository_stats_repository_id",
    "ix_repository_stats_owner",
    "ix_repository_stats_public",
    "ix_analysis_runs_repository",
    "ix_analysis_runs_job_id",
    "ix_analysis_runs_baseline_run_id",
    "ix_analysis_runs_project",
    "ix_analysis_runs_pinned",
    "ix_analysis_runs_tags",
    "ix_analysis_runs_user_id_created_at_run_id",
    "ix_analysis_runs_evaluation_id",
    "ix_api_keys_prefix",
    "ix_api_keys_user_id_created_at_id",
    "ix_evaluation_runs_status_updated_at",
    "ix_evaluation_runs_user_id_created_at_id",
    "ix_sessions_expires_at",
    "ix_sessions_key_id",
    "ix_sessions_user_id_created_at_id",
    "ix_sign_in_tokens_expires_at",
    "ix_sign_in_tokens_user_id",
    "ix_audit_logs_action_created_at_id",
    "ix_audit_logs_created_at_id",
    "ix_audit_logs_resource",
    "ix_audit_logs_traced",
    "ix_audit_logs_user_id_created_at_id",
    "ix_insights_data",
    "ix_insights_repository_type",
    "ix_insights_run_id",
    "ix_insights_tags",
    "ix_insights_type_confidence",
    "ix_jobs_pending_oldest",
    "ix_jobs_pending_due",
    "ix_jobs_claim",
    "ix_jobs_claim_small",
    "ix_jobs_pending_unstaged",
    "ix_jobs_pending_user_turn",
    "ix_jobs_running_worker",
    "ix_jobs_unfinished_user",
    "ix_jobs_user_id_created_at_job_id",
    "ix_jobs_ended_user",
    "ix_jobs_running_user",
    "ix_jobs_running_lease",
    "ix_jobs_user_id_idempotency_key",
    "ix_jobs_result_run_id",
    "ix_daily_usage_day",
    "ix_notices_due",
    "ix_reports_owner_id_created_at_id",
    "ix_reports_run_id",
    "ix_notices_ended",
    "ix_notices_given_up",
    "ix_notices_open_host",
    "ix_notices_job_id",
    "ix_usage_tracking_month_year",
}
UNIQUE_CONSTRAINTS = {
    "uq_api_keys_key_hash",
    "uq_reports_short_code",
    "uq_sessions_token_hash",
    "uq_usage_tracking_user_id_month_year",
}
PRIMARY_KEYS = {
    "pk_users",
    "pk_analysis_runs",
    "pk_api_keys",
    "pk_evaluation_runs",
    "pk_sessions",
    "pk_sign_in_tokens",
    "pk_repositories",
    "pk_user_repository_follows",
    "pk_repository_hook_deliveries",
    "pk_tracked_job_ends",
    "pk_audit_logs",
    "pk_insights",
    "pk_jobs",
    "pk_daily_usage",
    "pk_cron_slots",
    "pk_fleet_controls",
    "pk_job_uploads",
    "pk_queue_statistics",
    "pk_notices",
    "pk_reports",
    "pk_usage_tracking",
    "alembic_version_pkc",
}

# column: (type, nullable) as in the reference, except that timestamps have a time zone
REFERENCE_COLUMNS = {
    "users": {
        "id": ("uuid", "NO"),
        "email": ("character varying", "NO"),
        "auth0_sub": ("character varying", "YES"),
        "created_at": ("timestamp with time zone", "NO"),
        "last_login": ("timestamp with time zone", "YES"),
    },
    "analysis_runs": {
        "run_id": ("uuid", "NO"),
        "user_id": ("uuid", "NO"),
        "created_at": ("timestamp with time zone", "NO"),
        "upload_filename": ("character varying", "YES"),
        "submission_type": ("character varying", "NO"),
        "project_name": ("character varying", "YES"),
        "author_type": ("character varying", "YES"),
        "author_model": ("character varying", "YES"),
        "git_repo_url": ("character varying", "YES"),
        "git_branch": ("character varying", "YES"),
        "git_commit_sha": ("character varying", "YES"),
        "metrics": ("jsonb", "NO"),
        "file_tree": ("jsonb", "YES"),
        "errors": ("jsonb", "NO"),
    },
    "jobs": {
        "job_id": ("character varying", "NO"),
        "user_id": ("uuid", "NO"),
        "status": ("character varying", "NO"),
        "source_kind": ("character varying", "NO"),
        "source_metadata": ("jsonb", "YES"),
        "result_run_id": ("uuid", "YES"),
        "error_message": ("character varying", "YES"),
        "created_at": ("timestamp with time zone", "NO"),
        "updated_at": ("timestamp with time zone", "NO"),
    },
}


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(database_url)
    yield opened
    await opened.close()


async def add_user(connection: asyncpg.Connection) -> uuid.UUID:
    user_id: uuid.UUID = await connection.fetchval("INSERT INTO users (email) VALUES ('a@b') RETURNING id")
    return user_id


async def add_job(connection: asyncpg.Connection, job_id: str = "j", **columns: Any) -> None:
    user_id = await connection.fetchval("SELECT id FROM users") or await add_user(connection)
    values = {"job_id": job_id, "user_id": user_id, "status": "pending", "source_kind": "upload"} | columns
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await connection.execute(f"INSERT INTO jobs ({', '.join(values)}) VALUES ({places})", *values.values())  # noqa: S608


async def test_the_indexes_are_those_of_the_reference_and_the_added_ones(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch(
        "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND NOT starts_with(tablename, 'audit_logs_')"
    )
    assert {row["indexname"] for row in rows} == (REFERENCE_INDEXES | ADDED_INDEXES | UNIQUE_CONSTRAINTS | PRIMARY_KEYS)


@pytest.mark.parametrize("table", REFERENCE_COLUMNS)
async def test_the_columns_are_those_of_the_reference(connection: asyncpg.Connection, table: str) -> None:
    rows = await connection.fetch(
        "SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name = $1", table
    )
    found = {row["column_name"]: (row["data_type"], row["is_nullable"]) for row in rows}
    assert {name: found.get(name) for name in REFERENCE_COLUMNS[table]} == REFERENCE_COLUMNS[table]


@pytest.mark.parametrize(("table", "column"), [("users", "email"), ("users", "auth0_sub"), ("analysis_runs", "job_id")])
async def test_a_unique_column_has_one_unique_index_and_no_constraint(
    connection: asyncpg.Connection, table: str, column: str
) -> None:
    indexes = await connection.fetch(
        "SELECT indexdef FROM pg_indexes WHERE tablename = $1 AND indexdef LIKE '%(' || $2 || ')'", table, column
    )
    assert len(indexes) == 1
    assert indexes[0]["indexdef"].startswith("CREATE UNIQUE INDEX")
    constraints = await connection.fetchval(
        "SELECT count(*) FROM pg_constraint WHERE conrelid = $1::regclass AND contype = 'u'", table
    )
    assert constraints == 0


@pytest.mark.parametrize(
    ("column", "value", "constraint"),
    [
        ("status", "done", "ck_jobs_status"),
        ("source_kind", "gitlab", "ck_jobs_source_kind"),
        ("progress", 101, "ck_jobs_progress"),
        ("progress", -1, "ck_jobs_progress"),
        ("attempt", -1, "ck_jobs_attempt"),
        ("ring", -1, "ck_jobs_ring"),
        ("attempt_errors", "{}", "ck_jobs_attempt_errors"),
    ],
)
async def test_check_constraints_of_jobs_refuse_invalid_values(
    connection: asyncpg.Connection, column: str, value: Any, constraint: str
) -> None:
    await add_user(connection)
    with pytest.raises(asyncpg.CheckViolationError) as caught:
        await add_job(connection, **{column: value})
    assert caught.value.constraint_name == constraint


@pytest.mark.parametrize("status", ["pending", "running", "completed", "failed"])
@pytest.mark.parametrize("source_kind", ["upload", "github"])
async def test_jobs_accept_every_status_and_source_kind(
    connection: asyncpg.Connection, status: str, source_kind: str
) -> None:
    await add_job(connection, status=status, source_kind=source_kind)
    row = await connection.fetchrow("SELECT status, source_kind FROM jobs")
    assert tuple(row) == (status, source_kind)


async def test_check_constraints_of_runs_and_usage_refuse_invalid_values(connection: asyncpg.Connection) -> None:
    user_id = await add_user(connection)
    statement = "INSERT INTO analysis_runs (user_id, submission_type, metrics) VALUES ($1, $2, '{}')"
    for kind in ("upload", "github"):
        await connection.execute(statement, user_id, kind)
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute(statement, user_id, "svn")
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute("INSERT INTO daily_usage VALUES ($1, '2026-01-01', -1)", user_id)


async def test_a_job_with_only_the_reference_columns_gets_safe_defaults(connection: asyncpg.Connection) -> None:
    await add_job(connection)
    row = await connection.fetchrow("SELECT * FROM jobs")
    assert (row["attempt"], row["ring"], row["progress"], row["attempt_errors"]) == (0, 0, 0, "[]")
    assert row["run_after"] == row["created_at"] == row["updated_at"]
    for name in ("lease_token", "lease_expires_at", "rung_at", "stage", "started_at", "finished_at",
                 "cancel_requested_at", "idempotency_key", "notify_url"):  # fmt: skip
        assert row[name] is None


async def test_updated_at_changes_on_every_update_even_within_one_transaction(connection: asyncpg.Connection) -> None:
    await add_job(connection)
    moments = [await connection.fetchval("SELECT updated_at FROM jobs")]
    async with connection.transaction():
        for change in ("stage = 'x'", "stage = 'x'", "updated_at = '2000-01-01Z'"):
            moment = await connection.fetchval(f"UPDATE jobs SET {change} RETURNING updated_at")  # noqa: S608
            moments += [moment]
    assert moments == sorted(set(moments))


async def test_idempotency_keys_are_unique_per_user(connection: asyncpg.Connection) -> None:
    await add_job(connection, "a", idempotency_key="k")
    await add_job(connection, "b")
    await add_job(connection, "c")  # jobs without a key do not conflict
    other = await connection.fetchval("INSERT INTO users (email) VALUES ('c@d') RETURNING id")
    await add_job(connection, "d", idempotency_key="k", user_id=other)
    with pytest.raises(asyncpg.UniqueViolationError):
        await add_job(connection, "e", idempotency_key="k")


async def test_deletions_cascade_or_unlink_as_the_reference_says(connection: asyncpg.Connection) -> None:
    user_id = await add_user(connection)
    run_id = await connection.fetchval(
        "INSERT INTO analysis_runs (user_id, submission_type, metrics) VALUES ($1, 'upload', '{}') RETURNING run_id",
        user_id,
    )
    await add_job(connection, result_run_id=run_id)
    await connection.execute("INSERT INTO daily_usage VALUES ($1, '2026-01-01', 1)", user_id)
    await connection.execute("DELETE FROM analysis_runs")
    assert await connection.fetchval("SELECT result_run_id FROM jobs WHERE job_id = 'j'") is None
    await connection.execute("DELETE FROM users")
    assert await connection.fetchval("SELECT count(*) FROM jobs") == 0
    assert await connection.fetchval("SELECT count(*) FROM daily_usage") == 0


async def test_a_trigger_inserts_a_webhook_delivery_in_the_transaction_that_ends_a_job(
    connection: asyncpg.Connection,
) -> None:
    await add_job(connection, "with url", notify_url="https://example.org/hook", status="running")
    await add_job(connection, "without url", status="running")
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("UPDATE jobs SET status = 'failed', error_message = 'broken'")
    row = await connection.fetchrow("SELECT * FROM notices")
    assert (row["job_id"], row["status"], row["error_message"]) == ("with url", "failed", "broken")
    assert row["finished_at"] is not None
    await transaction.rollback()
    assert await connection.fetchval("SELECT count(*) FROM notices") == 0


async def test_each_end_of_a_job_inserts_one_webhook_delivery(connection: asyncpg.Connection) -> None:
    await add_job(connection, notify_url="https://example.org/hook")
    for status in ("running", "pending", "running", "failed", "failed", "pending", "failed"):
        await connection.execute("UPDATE jobs SET status = $1, stage = 'x'", status)
    assert await connection.fetchval("SELECT count(*) FROM notices") == 2
    await connection.execute("DELETE FROM jobs")
    assert await connection.fetchval("SELECT count(*) FROM notices") == 2
