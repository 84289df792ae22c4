"""Indexes for the cleanup of usage and of ended webhook deliveries: a chunk reads what it deletes, and no more."""

from collections.abc import Sequence

from alembic import op

revision: str = "0007"
down_revision: str | Sequence[str] | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

INDEXES = {
    "ix_daily_usage_day": "daily_usage (day)",
    "ix_notices_ended": (
        "notices (coalesce(delivered_at, given_up_at)) WHERE delivered_at IS NOT NULL OR given_up_at IS NOT NULL"
    ),
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, definition in INDEXES.items():
            # A build that was interrupted leaves an invalid index behind.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {definition}")


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name)
