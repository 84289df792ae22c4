"""Tracked repositories, their followers, deliveries of their hooks, and the ends of their jobs."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0017"
down_revision: str | Sequence[str] | None = "0016"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

NOW = sa.text("now()")
EMPTY = sa.text("'{}'::jsonb")
TIMESTAMP = sa.DateTime(timezone=True)
COUNTS = ("stars", "forks", "watchers", "size")
RUNS = "ix_analysis_runs_repository"

# A trigger, since a job is ended by many: its worker, a rescue, its owner, the clean-up. It changes no repository: the
# ends of a batch would lock repositories in an order that another batch does not have.
FUNCTION = """
    CREATE FUNCTION note_tracked_end() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO tracked_job_ends (
            job_id, user_id, repository_id, status, error_message, run_id, branch, head, finished_at)
        VALUES (NEW.job_id, NEW.user_id, CAST(NEW.options ->> 'repository_id' AS uuid), NEW.status, NEW.error_message,
            NEW.result_run_id, left(NEW.source_metadata ->> 'tracked_branch', 300),
            left(NEW.source_metadata ->> 'tracked_head', 64), coalesce(NEW.finished_at, clock_timestamp()));
        RETURN NULL;
    END
    $$
"""
TRIGGER = """
    CREATE TRIGGER jobs_note_tracked_end AFTER UPDATE OF status ON jobs FOR EACH ROW
    WHEN (NEW.status IN ('completed', 'failed') AND OLD.status NOT IN ('completed', 'failed')
        AND NEW.options ->> 'repository_id' ~ '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$')
    EXECUTE FUNCTION note_tracked_end()
"""


def upgrade() -> None:
    _create_repositories()
    _create_follows()
    _create_hook_deliveries()
    _create_ends()
    op.add_column("notices", sa.Column("repository_id", sa.Uuid(), nullable=True))
    op.execute(FUNCTION)
    op.execute(TRIGGER)
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {RUNS}")
        op.execute(
            f"CREATE INDEX CONCURRENTLY {RUNS} ON analysis_runs ((options ->> 'repository_id'), created_at)"
            " WHERE options ? 'repository_id'"
        )


def downgrade() -> None:
    op.drop_index(RUNS, "analysis_runs")
    op.execute("DROP TRIGGER jobs_note_tracked_end ON jobs")
    op.execute("DROP FUNCTION note_tracked_end()")
    op.drop_column("notices", "repository_id")
    for table in ("tracked_job_ends", "repository_hook_deliveries", "user_repository_follows", "repositories"):
        op.drop_table(table)


def _create_repositories() -> None:
    op.create_table(
        "repositories",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("name", "full_name")),
        sa.Column("description", sa.String(), nullable=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("url", "clone_url")),
        *(sa.Column(name, sa.String(), nullable=True) for name in ("default_branch", "language")),
        *(sa.Column(name, sa.Integer(), server_default="0", nullable=False) for name in COUNTS),
        sa.Column("last_analyzed", TIMESTAMP, nullable=True),
        sa.Column("heads", JSONB(), server_default=EMPTY, nullable=False),
        sa.Column("analysis_status", sa.String(), server_default="pending", nullable=False),
        sa.Column("settings", JSONB(), server_default=EMPTY, nullable=False),
        sa.Column("tags", JSONB(), server_default=EMPTY, nullable=False),
        sa.Column("schedule", sa.String(), nullable=True),
        *(
            sa.Column(name, TIMESTAMP, nullable=True)
            for name in ("next_check_at", "check_requested_at", "check_lease_until")
        ),
        *(sa.Column(name, sa.Integer(), server_default="0", nullable=False) for name in ("failures", "refusals")),
        *(sa.Column(name, sa.String(), nullable=True) for name in ("last_error", "token", "hook_secret")),
        sa.Column("created_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.Column("updated_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.CheckConstraint(
            "analysis_status IN ('pending', 'in_progress', 'completed', 'failed')",
            name=op.f("ck_repositories_analysis_status"),
        ),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_repositories_owner_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repositories")),
    )
    op.create_index("ix_repositories_owner_url", "repositories", ["owner_id", "url"], unique=True)
    op.create_index("ix_repositories_owner_status", "repositories", ["owner_id", "analysis_status"])
    scheduled, asked = sa.text("schedule IS NOT NULL"), sa.text("check_requested_at IS NOT NULL")
    op.create_index("ix_repositories_due", "repositories", ["next_check_at"], postgresql_where=scheduled)
    op.create_index("ix_repositories_asked", "repositories", ["check_requested_at"], postgresql_where=asked)
    for column in ("settings", "tags"):
        op.create_index(
            f"ix_repositories_{column}",
            "repositories",
            [column],
            postgresql_using="gin",
            postgresql_ops={column: "jsonb_path_ops"},
        )


def _create_follows() -> None:
    name = "user_repository_follows"
    op.create_table(
        name,
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("repository_id", sa.Uuid(), nullable=False),
        sa.Column("followed_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.Column("notification_settings", JSONB(), server_default=EMPTY, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f(f"fk_{name}_user_id_users"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name=op.f(f"fk_{name}_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", "repository_id", name=op.f(f"pk_{name}")),
    )  # fmt: skip
    op.create_index(f"ix_{name}_repository", name, ["repository_id"])
    op.create_index(f"ix_{name}_newest", name, ["user_id", "followed_at", "repository_id"])


def _create_hook_deliveries() -> None:
    name = "repository_hook_deliveries"
    op.create_table(
        name,
        sa.Column("repository_id", sa.Uuid(), nullable=False),
        sa.Column("delivery", sa.String(), nullable=False),
        sa.Column("received_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name=op.f(f"fk_{name}_repository_id_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", "delivery", name=op.f(f"pk_{name}")),
    )  # fmt: skip
    op.create_index(f"ix_{name}_received_at", name, ["received_at"])


def _create_ends() -> None:
    # No foreign keys, as in `notices`: whoever ends a job must not wait for whoever changes its repository.
    op.create_table(
        "tracked_job_ends",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("repository_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("error_message", sa.String(), nullable=True),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("branch", sa.String(), nullable=True),
        sa.Column("head", sa.String(), nullable=True),
        sa.Column("finished_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tracked_job_ends")),
    )
