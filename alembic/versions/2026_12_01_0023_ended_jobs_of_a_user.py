"""An index of a user's jobs that have ended, for pages of those that failed or completed."""

from collections.abc import Sequence

from alembic import op

revision: str = "0023"
down_revision: str | Sequence[str] | None = "0022"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

INDEX = "ix_jobs_ended_user"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # A build that was interrupted leaves an invalid index behind.
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
        op.execute(
            f"CREATE INDEX CONCURRENTLY {INDEX} ON jobs (user_id, status, created_at DESC, job_id DESC) "
            "WHERE status IN ('completed', 'failed')"
        )


def downgrade() -> None:
    op.drop_index(INDEX, "jobs")
