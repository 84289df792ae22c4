"""Runs without a foreign key to their baseline: the deletion of a run locks no other run."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | Sequence[str] | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

BASELINE = "fk_analysis_runs_baseline_run_id_analysis_runs"
INDEX = "ix_analysis_runs_baseline_run_id"


def upgrade() -> None:
    op.drop_constraint(BASELINE, "analysis_runs", type_="foreignkey")
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")


def downgrade() -> None:
    op.execute("LOCK TABLE analysis_runs IN SHARE ROW EXCLUSIVE MODE")  # no baseline is deleted meanwhile
    op.execute(
        "UPDATE analysis_runs AS run SET baseline_run_id = NULL WHERE baseline_run_id IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM analysis_runs AS earlier WHERE earlier.run_id = run.baseline_run_id)"
    )
    op.create_index(
        INDEX, "analysis_runs", ["baseline_run_id"], postgresql_where=sa.text("baseline_run_id IS NOT NULL")
    )
    op.create_foreign_key(
        BASELINE, "analysis_runs", "analysis_runs", ["baseline_run_id"], ["run_id"], ondelete="SET NULL"
    )
