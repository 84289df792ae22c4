"""Sessions of people in a browser, and the links that sign them in."""

from collections.abc import Sequence

from alembic import op

revision: str = "0016"
down_revision: str | Sequence[str] | None = "0015"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

SESSIONS = """
    CREATE TABLE sessions (
        id uuid NOT NULL DEFAULT gen_random_uuid(),
        user_id uuid NOT NULL,
        key_id uuid,
        token_hash bytea NOT NULL,
        permissions text[] NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        last_seen_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        CONSTRAINT pk_sessions PRIMARY KEY (id),
        CONSTRAINT fk_sessions_user_id_users FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
        CONSTRAINT fk_sessions_key_id_api_keys FOREIGN KEY (key_id) REFERENCES api_keys (id) ON DELETE CASCADE,
        CONSTRAINT uq_sessions_token_hash UNIQUE (token_hash),
        CONSTRAINT ck_sessions_permissions CHECK (permissions <@ ARRAY['read', 'submit', 'manage', 'operate'])
    )
"""
LINKS = """
    CREATE TABLE sign_in_tokens (
        token_hash bytea NOT NULL,
        user_id uuid NOT NULL,
        permissions text[] NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        CONSTRAINT pk_sign_in_tokens PRIMARY KEY (token_hash),
        CONSTRAINT fk_sign_in_tokens_user_id_users FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
        CONSTRAINT ck_sign_in_tokens_permissions CHECK (permissions <@ ARRAY['read', 'submit', 'manage', 'operate'])
    )
"""


def upgrade() -> None:
    op.execute(SESSIONS)
    op.execute("CREATE INDEX ix_sessions_user_id_created_at_id ON sessions (user_id, created_at, id)")
    op.execute("CREATE INDEX ix_sessions_key_id ON sessions (key_id) WHERE key_id IS NOT NULL")
    op.execute("CREATE INDEX ix_sessions_expires_at ON sessions (expires_at)")
    op.execute(LINKS)
    op.execute("CREATE INDEX ix_sign_in_tokens_user_id ON sign_in_tokens (user_id)")
    op.execute("CREATE INDEX ix_sign_in_tokens_expires_at ON sign_in_tokens (expires_at)")


def downgrade() -> None:
    op.execute("DROP TABLE sign_in_tokens")
    op.execute("DROP TABLE sessions")
