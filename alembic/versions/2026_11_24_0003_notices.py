"""Who is told when a job ends: an address in the job's row, and a notice in the transaction that ends it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | Sequence[str] | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

NOW = sa.text("now()")
TIMESTAMP = sa.DateTime(timezone=True)
OPEN = sa.text("delivered_at IS NULL AND given_up_at IS NULL")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("notify_url", sa.String(), nullable=True))
    create_notices()
    create_trigger()


def downgrade() -> None:
    op.execute("DROP TRIGGER jobs_note_end ON jobs")
    op.execute("DROP FUNCTION note_job_end()")
    op.drop_table("notices")
    op.drop_column("jobs", "notify_url")


def create_notices() -> None:
    # No foreign keys: a job's row goes when its result is taken, and one on users would have whoever ends a job wait
    # for whoever deletes its owner, who waits for the job.
    op.create_table(
        "notices",
        sa.Column("notice_id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("error_message", sa.String(), nullable=True),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("finished_at", TIMESTAMP, nullable=False),
        sa.Column("created_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.Column("delivered_at", TIMESTAMP, nullable=True),
        sa.Column("given_up_at", TIMESTAMP, nullable=True),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.CheckConstraint("status IN ('completed', 'failed')", name=op.f("ck_notices_status")),
        sa.PrimaryKeyConstraint("notice_id", name="pk_notices"),
    )
    op.create_index("ix_notices_due", "notices", ["due_at"], postgresql_where=OPEN)
    op.create_index("ix_notices_job_id", "notices", ["job_id"])


def create_trigger() -> None:
    # A trigger, since a job is ended by many: its worker, a rescue, its owner, the clean-up, an older version.
    op.execute(
        """
        CREATE FUNCTION note_job_end() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO notices (job_id, user_id, url, status, error_message, run_id, finished_at)
            VALUES (NEW.job_id, NEW.user_id, NEW.notify_url, NEW.status, NEW.error_message, NEW.result_run_id,
                coalesce(NEW.finished_at, clock_timestamp()));
            RETURN NULL;
        END
        $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER jobs_note_end AFTER UPDATE OF status ON jobs FOR EACH ROW
        WHEN (NEW.notify_url IS NOT NULL AND NEW.status IN ('completed', 'failed')
            AND OLD.status NOT IN ('completed', 'failed'))
        EXECUTE FUNCTION note_job_end()
        """
    )
