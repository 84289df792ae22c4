"""Which version of a job's row a worker must know to work on it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | Sequence[str] | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # A constant default: no row is rewritten, and what an older program inserts is of the first version.
    op.add_column("jobs", sa.Column("version", sa.SmallInteger(), server_default="1", nullable=False))


def downgrade() -> None:
    op.drop_column("jobs", "version")
