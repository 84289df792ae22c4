"""Evaluations, and the runs that belong to them."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | Sequence[str] | None = "0014"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TABLE = """
    CREATE TABLE evaluation_runs (
        id uuid NOT NULL DEFAULT gen_random_uuid(),
        user_id uuid NOT NULL,
        name varchar(200) NOT NULL,
        description varchar NOT NULL DEFAULT '',
        model_name varchar,
        dataset_name varchar NOT NULL DEFAULT '',
        config jsonb NOT NULL DEFAULT '{}'::jsonb,
        status varchar NOT NULL DEFAULT 'pending',
        metrics jsonb NOT NULL DEFAULT '{}'::jsonb,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        finished_at timestamptz,
        CONSTRAINT pk_evaluation_runs PRIMARY KEY (id),
        CONSTRAINT fk_evaluation_runs_user_id_users FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
        CONSTRAINT ck_evaluation_runs_status CHECK (status IN ('pending', 'running', 'completed', 'failed'))
    )
"""
INDEX = "ix_analysis_runs_evaluation_id"


def upgrade() -> None:
    op.execute(TABLE)
    op.execute("CREATE INDEX ix_evaluation_runs_user_id_created_at_id ON evaluation_runs (user_id, created_at, id)")
    op.execute("CREATE INDEX ix_evaluation_runs_status_updated_at ON evaluation_runs (status, updated_at)")
    op.add_column("analysis_runs", sa.Column("evaluation_id", sa.Uuid(), nullable=True))
    with op.get_context().autocommit_block():
        # An interrupted build leaves an index that is not valid.
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
        op.execute(
            f"CREATE INDEX CONCURRENTLY {INDEX} ON analysis_runs (evaluation_id) WHERE evaluation_id IS NOT NULL"
        )


def downgrade() -> None:
    op.execute(f"DROP INDEX {INDEX}")
    op.drop_column("analysis_runs", "evaluation_id")
    op.execute("DROP TABLE evaluation_runs")
