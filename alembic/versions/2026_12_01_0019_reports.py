"""Shared reports."""

from collections.abc import Sequence

from alembic import op

revision: str = "0019"
down_revision: str | Sequence[str] | None = "0018"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TABLE = """
    CREATE TABLE reports (
        id uuid NOT NULL DEFAULT gen_random_uuid(),
        run_id uuid NOT NULL,
        owner_id uuid NOT NULL,
        short_code varchar(32) NOT NULL,
        is_public boolean NOT NULL DEFAULT true,
        password_hash varchar,
        expires_at timestamptz,
        max_views integer,
        view_count integer NOT NULL DEFAULT 0,
        last_viewed_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_reports PRIMARY KEY (id),
        CONSTRAINT fk_reports_run_id_analysis_runs FOREIGN KEY (run_id)
            REFERENCES analysis_runs (run_id) ON DELETE CASCADE,
        CONSTRAINT fk_reports_owner_id_users FOREIGN KEY (owner_id) REFERENCES users (id) ON DELETE CASCADE,
        CONSTRAINT uq_reports_short_code UNIQUE (short_code),
        CONSTRAINT ck_reports_max_views CHECK (max_views > 0),
        CONSTRAINT ck_reports_view_count CHECK (view_count >= 0)
    )
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute("CREATE INDEX ix_reports_run_id ON reports (run_id)")
    op.execute("CREATE INDEX ix_reports_owner_id_created_at_id ON reports (owner_id, created_at, id)")
    op.execute(
        "CREATE TRIGGER reports_set_updated_at BEFORE UPDATE ON reports FOR EACH ROW EXECUTE FUNCTION set_updated_at()"
    )


def downgrade() -> None:
    op.execute("DROP TABLE reports")
