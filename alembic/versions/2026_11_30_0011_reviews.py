"""Reviews of runs, their insights, and options of jobs."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision: str = "0011"
down_revision: str | Sequence[str] | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

VERDICT = "ck_analysis_runs_review_verdict"
DOCUMENTS = ("review_policy", "review_criteria_checklist", "review_strengths", "review_weaknesses")
COLUMNS = ("quality_score", "review_verdict", *DOCUMENTS, "options")


def upgrade() -> None:
    # Null, or a constant default: no row is rewritten.
    op.add_column("analysis_runs", sa.Column("quality_score", sa.Float(), nullable=True))
    op.add_column("analysis_runs", sa.Column("review_verdict", sa.String(), nullable=True))
    for name in DOCUMENTS:
        op.add_column("analysis_runs", sa.Column(name, JSONB(), nullable=True))
    for table in ("analysis_runs", "jobs"):
        op.add_column(table, sa.Column("options", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False))
    _create_insights()
    op.execute(
        f"ALTER TABLE analysis_runs ADD CONSTRAINT {VERDICT}"
        " CHECK (review_verdict IN ('APPROVED', 'REJECTED', 'NOT_EVALUATED')) NOT VALID"
    )
    with op.get_context().autocommit_block():
        op.execute(f"ALTER TABLE analysis_runs VALIDATE CONSTRAINT {VERDICT}")


def _create_insights() -> None:
    op.create_table(
        "insights",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("repository_id", sa.Uuid(), nullable=True),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("confidence_score", sa.Numeric(3, 2), nullable=False),
        sa.Column("data", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("model_version", sa.String(), nullable=False),
        sa.Column("tags", ARRAY(sa.String()), server_default=sa.text("'{}'::varchar[]"), nullable=False),
        *(
            sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
            for name in ("generated_at", "created_at", "updated_at")
        ),
        sa.CheckConstraint("confidence_score BETWEEN 0 AND 1", name=op.f("ck_insights_confidence_score")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["analysis_runs.run_id"], name=op.f("fk_insights_run_id_analysis_runs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_insights")),
    )
    op.create_index("ix_insights_run_id", "insights", ["run_id"])
    op.create_index("ix_insights_repository_type", "insights", ["repository_id", "type"])
    op.create_index("ix_insights_type_confidence", "insights", ["type", sa.text("confidence_score DESC")])
    op.create_index("ix_insights_data", "insights", ["data"], postgresql_using="gin")
    op.create_index("ix_insights_tags", "insights", ["tags"], postgresql_using="gin")


def downgrade() -> None:
    op.drop_table("insights")
    op.drop_column("jobs", "options")
    for column in COLUMNS:
        op.drop_column("analysis_runs", column)
