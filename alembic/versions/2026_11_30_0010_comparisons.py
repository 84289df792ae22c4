"""Comparison of a run with its baseline, and what finds the runs of one project."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0010"
down_revision: str | Sequence[str] | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

BASELINE = "fk_analysis_runs_baseline_run_id_analysis_runs"
INDEXES = (
    ("ix_analysis_runs_baseline_run_id", "(baseline_run_id) WHERE baseline_run_id IS NOT NULL"),
    ("ix_analysis_runs_project", "(user_id, project_key, created_at) WHERE project_key IS NOT NULL"),
    ("ix_analysis_runs_pinned", "(user_id, project_key) WHERE pinned"),
)
COLUMNS = ("baseline_run_id", "comparison", "project_key", "on_default_branch", "pinned")


def upgrade() -> None:
    # Null, or a constant default: no row is rewritten.
    op.add_column("analysis_runs", sa.Column("baseline_run_id", sa.Uuid(), nullable=True))
    op.add_column("analysis_runs", sa.Column("comparison", JSONB(), nullable=True))
    op.add_column("analysis_runs", sa.Column("project_key", sa.String(), nullable=True))
    op.add_column("analysis_runs", sa.Column("on_default_branch", sa.Boolean(), nullable=True))
    op.add_column("analysis_runs", sa.Column("pinned", sa.Boolean(), server_default=sa.false(), nullable=False))
    # All references are null yet, so the check of the rows that exist may come after the lock.
    op.execute(
        f"ALTER TABLE analysis_runs ADD CONSTRAINT {BASELINE} FOREIGN KEY (baseline_run_id)"
        " REFERENCES analysis_runs (run_id) ON DELETE SET NULL NOT VALID"
    )
    with op.get_context().autocommit_block():
        op.execute(f"ALTER TABLE analysis_runs VALIDATE CONSTRAINT {BASELINE}")
        for name, definition in INDEXES:
            # A build that was interrupted leaves an invalid index behind.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON analysis_runs {definition}")


def downgrade() -> None:
    for name, _ in INDEXES:
        op.drop_index(name, "analysis_runs")
    for column in COLUMNS:
        op.drop_column("analysis_runs", column)
