"""An index of the open webhook deliveries by host: a claim reads a few of each host, and not all that are due."""

from collections.abc import Sequence

from alembic import op

revision: str = "0006"
down_revision: str | Sequence[str] | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

HOST = "coalesce(lower(left(substring(url, '^[^:/?#]*://([^/?#]*)'), 300)), '')"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # A build that was interrupted leaves an invalid index behind.
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_notices_open_host")
        op.execute(
            f"CREATE INDEX CONCURRENTLY ix_notices_open_host ON notices (({HOST}), due_at)"
            " WHERE delivered_at IS NULL AND given_up_at IS NULL"
        )


def downgrade() -> None:
    op.drop_index("ix_notices_open_host", "notices")
