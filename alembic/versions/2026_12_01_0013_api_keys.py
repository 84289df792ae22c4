"""API keys."""

from collections.abc import Sequence

from alembic import op

revision: str = "0013"
down_revision: str | Sequence[str] | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TABLE = """
    CREATE TABLE api_keys (
        id uuid NOT NULL DEFAULT gen_random_uuid(),
        user_id uuid NOT NULL,
        name varchar NOT NULL,
        prefix varchar NOT NULL,
        key_hash bytea NOT NULL,
        permissions text[] NOT NULL,
        rate_limit integer NOT NULL DEFAULT 1000,
        last_used timestamptz,
        expires_at timestamptz,
        is_active boolean NOT NULL DEFAULT true,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_api_keys PRIMARY KEY (id),
        CONSTRAINT fk_api_keys_user_id_users FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
        CONSTRAINT uq_api_keys_key_hash UNIQUE (key_hash),
        CONSTRAINT ck_api_keys_rate_limit CHECK (rate_limit > 0),
        CONSTRAINT ck_api_keys_permissions CHECK (permissions <@ ARRAY['read', 'submit', 'manage', 'operate'])
    )
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute("CREATE INDEX ix_api_keys_prefix ON api_keys (prefix)")
    op.execute("CREATE INDEX ix_api_keys_user_id_created_at_id ON api_keys (user_id, created_at, id)")


def downgrade() -> None:
    op.execute("DROP TABLE api_keys")
