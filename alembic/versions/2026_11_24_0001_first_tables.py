"""Users, analysis runs, jobs, daily usage and cron slots."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0001"
down_revision: str | Sequence[str] | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

NOW = sa.text("now()")
NEW_UUID = sa.text("gen_random_uuid()")
EMPTY_LIST = sa.text("'[]'::jsonb")
EMPTY_OBJECT = sa.text("'{}'::jsonb")
NO_FINDINGS = sa.text("""'{"total": 0, "items": []}'::jsonb""")
PENDING = sa.text("status = 'pending'")
RUNNING = sa.text("status = 'running'")
TIMESTAMP = sa.DateTime(timezone=True)


def upgrade() -> None:
    create_users()
    create_analysis_runs()
    create_jobs()
    create_jobs_indexes()
    create_jobs_trigger()
    create_counters()


def downgrade() -> None:
    op.drop_table("cron_slots")
    op.drop_table("daily_usage")
    op.drop_table("jobs")
    op.execute("DROP FUNCTION set_updated_at()")
    op.drop_table("analysis_runs")
    op.drop_table("users")


def create_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), server_default=NEW_UUID, nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("auth0_sub", sa.String(), nullable=True),
        sa.Column("created_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.Column("last_login", TIMESTAMP, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
    )
    op.create_index("ix_users_email", "users", ["email"], unique=True)
    op.create_index("ix_users_auth0_sub", "users", ["auth0_sub"], unique=True)


def create_analysis_runs() -> None:
    op.create_table(
        "analysis_runs",
        sa.Column("run_id", sa.Uuid(), server_default=NEW_UUID, nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.Column("upload_filename", sa.String(), nullable=True),
        sa.Column("submission_type", sa.String(), nullable=False),
        sa.Column("project_name", sa.String(), nullable=True),
        sa.Column("author_type", sa.String(), nullable=True),
        sa.Column("author_model", sa.String(), nullable=True),
        sa.Column("git_repo_url", sa.String(), nullable=True),
        sa.Column("git_branch", sa.String(), nullable=True),
        sa.Column("git_commit_sha", sa.String(), nullable=True),
        sa.Column("metrics", JSONB(), nullable=False),
        sa.Column("file_tree", JSONB(), nullable=True),
        sa.Column("errors", JSONB(), server_default=EMPTY_LIST, nullable=False),
        sa.Column("job_id", sa.String(), nullable=True),
        sa.Column("findings", JSONB(), server_default=NO_FINDINGS, nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("timings_ms", JSONB(), server_default=EMPTY_OBJECT, nullable=False),
        sa.Column("tool_versions", JSONB(), server_default=EMPTY_OBJECT, nullable=False),
        sa.Column("completeness", JSONB(), server_default=EMPTY_OBJECT, nullable=False),
        sa.CheckConstraint("submission_type IN ('upload', 'github')", name=op.f("ck_analysis_runs_submission_type")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_analysis_runs_user_id_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", name="pk_analysis_runs"),
    )
    op.create_index("ix_analysis_runs_user_id", "analysis_runs", ["user_id"])
    op.create_index("ix_analysis_runs_created_at", "analysis_runs", ["created_at"])
    op.create_index("ix_analysis_runs_job_id", "analysis_runs", ["job_id"], unique=True)
    op.create_index("ix_analysis_runs_user_id_created_at_run_id", "analysis_runs", ["user_id", "created_at", "run_id"])


def create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("source_kind", sa.String(), nullable=False),
        sa.Column("source_metadata", JSONB(), nullable=True),
        sa.Column("result_run_id", sa.Uuid(), nullable=True),
        sa.Column("error_message", sa.String(), nullable=True),
        sa.Column("created_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.Column("updated_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("lease_expires_at", TIMESTAMP, nullable=True),
        sa.Column("run_after", TIMESTAMP, server_default=NOW, nullable=False),
        sa.Column("ring", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rung_at", TIMESTAMP, nullable=True),
        sa.Column("progress", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("stage", sa.String(), nullable=True),
        sa.Column("started_at", TIMESTAMP, nullable=True),
        sa.Column("finished_at", TIMESTAMP, nullable=True),
        sa.Column("attempt_errors", JSONB(), server_default=EMPTY_LIST, nullable=False),
        sa.Column("cancel_requested_at", TIMESTAMP, nullable=True),
        sa.Column("idempotency_key", sa.String(), nullable=True),
        sa.CheckConstraint("status IN ('pending', 'running', 'completed', 'failed')", name=op.f("ck_jobs_status")),
        sa.CheckConstraint("source_kind IN ('upload', 'github')", name=op.f("ck_jobs_source_kind")),
        sa.CheckConstraint("progress BETWEEN 0 AND 100", name=op.f("ck_jobs_progress")),
        sa.CheckConstraint("attempt >= 0", name=op.f("ck_jobs_attempt")),
        sa.CheckConstraint("ring >= 0", name=op.f("ck_jobs_ring")),
        sa.CheckConstraint("jsonb_typeof(attempt_errors) = 'array'", name=op.f("ck_jobs_attempt_errors")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_jobs_user_id_users", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["result_run_id"],
            ["analysis_runs.run_id"],
            name="fk_jobs_result_run_id_analysis_runs",
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("job_id", name="pk_jobs"),
    )


def create_jobs_indexes() -> None:
    op.create_index("ix_jobs_user_id", "jobs", ["user_id"])
    op.create_index("ix_jobs_status", "jobs", ["status"])
    op.create_index("ix_jobs_status_updated", "jobs", ["status", "updated_at"])
    op.create_index("ix_jobs_pending_oldest", "jobs", ["created_at", "job_id"], postgresql_where=PENDING)
    op.create_index("ix_jobs_pending_due", "jobs", ["run_after"], postgresql_where=PENDING)
    op.create_index("ix_jobs_running_user", "jobs", ["user_id"], postgresql_where=RUNNING)
    op.create_index("ix_jobs_running_lease", "jobs", ["lease_expires_at"], postgresql_where=RUNNING)
    op.create_index(
        "ix_jobs_user_id_idempotency_key",
        "jobs",
        ["user_id", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_result_run_id", "jobs", ["result_run_id"], postgresql_where=sa.text("result_run_id IS NOT NULL")
    )


def create_jobs_trigger() -> None:
    # The clock's time and not the transaction's: two updates in one transaction are two moments.
    op.execute(
        """
        CREATE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.updated_at := clock_timestamp();
            RETURN NEW;
        END
        $$
        """
    )
    op.execute(
        "CREATE TRIGGER jobs_set_updated_at BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION set_updated_at()"
    )


def create_counters() -> None:
    op.create_table(
        "daily_usage",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("submitted", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint("submitted >= 0", name=op.f("ck_daily_usage_submitted")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_daily_usage_user_id_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "day", name="pk_daily_usage"),
    )
    op.create_table(
        "cron_slots",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("slot", TIMESTAMP, nullable=False),
        sa.Column("claimed_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("name", "slot", name="pk_cron_slots"),
    )
