"""Plans: the tier of a user, the use of a month, and refunds."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0020"
down_revision: str | Sequence[str] | None = "0019"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TIER = "ck_users_tier"
TABLE = """
    CREATE TABLE usage_tracking (
        id uuid NOT NULL DEFAULT gen_random_uuid(),
        user_id uuid NOT NULL,
        month_year char(7) NOT NULL,
        analyses_count integer NOT NULL DEFAULT 0,
        reports_count integer NOT NULL DEFAULT 0,
        repositories_count integer NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_usage_tracking PRIMARY KEY (id),
        CONSTRAINT uq_usage_tracking_user_id_month_year UNIQUE (user_id, month_year),
        CONSTRAINT fk_usage_tracking_user_id_users FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
        CONSTRAINT ck_usage_tracking_analyses_count CHECK (analyses_count >= 0),
        CONSTRAINT ck_usage_tracking_reports_count CHECK (reports_count >= 0),
        CONSTRAINT ck_usage_tracking_repositories_count CHECK (repositories_count >= 0)
    ) WITH (fillfactor = 80)
"""


def upgrade() -> None:
    # A constant default, or null: no row is rewritten.
    op.add_column("users", sa.Column("tier", sa.String(), server_default="free", nullable=False))
    op.add_column("jobs", sa.Column("refunded_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(TABLE)
    op.execute("CREATE INDEX ix_usage_tracking_month_year ON usage_tracking (month_year)")
    op.execute(
        f"ALTER TABLE users ADD CONSTRAINT {TIER} CHECK (tier IN ('free', 'pro', 'team', 'enterprise')) NOT VALID"
    )
    with op.get_context().autocommit_block():
        op.execute(f"ALTER TABLE users VALIDATE CONSTRAINT {TIER}")


def downgrade() -> None:
    op.drop_table("usage_tracking")
    op.drop_column("jobs", "refunded_at")
    op.drop_column("users", "tier")
