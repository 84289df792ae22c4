"""Indexes that alone can serve the claim, so that outdated statistics cannot lead the planner to another."""

from collections.abc import Sequence

from alembic import op

revision: str = "0008"
down_revision: str | Sequence[str] | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

WAITS = "nullif(status = 'pending', false) IS NOT NULL AND turn IS NOT NULL"
INDEXES = (
    ("ix_jobs_claim", f"(turn, created_at, job_id) WHERE {WAITS}"),
    ("ix_jobs_claim_small", f"(turn, created_at, job_id) WHERE {WAITS} AND small"),
)
REPLACED = (
    ("ix_jobs_pending_turn", "(turn, created_at, job_id) WHERE status = 'pending' AND turn IS NOT NULL"),
    (
        "ix_jobs_pending_small_turn",
        "(turn, created_at, job_id) WHERE status = 'pending' AND turn IS NOT NULL AND small",
    ),
)


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, definition in INDEXES:
            # A build that was interrupted leaves an invalid index behind.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON jobs {definition}")
        for name, _ in REPLACED:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def downgrade() -> None:
    for name, _ in INDEXES:
        op.drop_index(name, "jobs")
    for name, definition in REPLACED:
        op.execute(f"CREATE INDEX {name} ON jobs {definition}")
