"""Tags of runs, and the index by which they are found."""

from collections.abc import Sequence

from alembic import op

revision: str = "0014"
down_revision: str | Sequence[str] | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

INDEX = "ix_analysis_runs_tags"


def upgrade() -> None:
    op.execute("ALTER TABLE analysis_runs ADD COLUMN tags jsonb NOT NULL DEFAULT '{}'::jsonb")
    with op.get_context().autocommit_block():
        # A build that was interrupted leaves an invalid index behind.
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
        op.execute(f"CREATE INDEX CONCURRENTLY {INDEX} ON analysis_runs USING gin (tags jsonb_path_ops)")


def downgrade() -> None:
    op.drop_index(INDEX, "analysis_runs")
    op.drop_column("analysis_runs", "tags")
