"""A turn for each pending job, uploads in a table of their own, and indexes that do not grow with finished jobs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0005"
down_revision: str | Sequence[str] | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TIMESTAMP = sa.DateTime(timezone=True)
NOW = sa.text("now()")

INDEXES = (
    ("ix_jobs_pending_turn", "(turn, created_at, job_id) WHERE status = 'pending' AND turn IS NOT NULL"),
    (
        "ix_jobs_pending_small_turn",
        "(turn, created_at, job_id) WHERE status = 'pending' AND turn IS NOT NULL AND small",
    ),
    ("ix_jobs_pending_user_turn", "(user_id, turn) WHERE status = 'pending'"),
    ("ix_jobs_pending_unstaged", "(run_after) WHERE status = 'pending' AND turn IS NULL"),
    ("ix_jobs_unfinished_user", "(user_id) WHERE status IN ('pending', 'running')"),
    ("ix_jobs_running_worker", "(worker_id) WHERE status = 'running'"),
    ("ix_jobs_user_id_created_at_job_id", "(user_id, created_at DESC, job_id DESC)"),
)

# Vacuum by the number of dead rows and not by a share of the table: the claim's index must not fill with dead entries
# while a backlog of a million rows is worked off.
AUTOVACUUM = """
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0
"""


def upgrade() -> None:
    # Constant defaults: no row is rewritten. What an older program inserts has no turn yet; workers assign one.
    op.add_column("jobs", sa.Column("turn", sa.BigInteger(), nullable=True))
    op.add_column("jobs", sa.Column("small", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("jobs", sa.Column("worker_id", sa.String(), nullable=True))
    op.execute("CREATE SEQUENCE queue_turn AS bigint MINVALUE 0 START 0")
    op.execute("SELECT setval('queue_turn', 0)")
    op.execute(f"ALTER TABLE jobs SET ({AUTOVACUUM})")
    create_job_uploads()
    create_queue_statistics()
    with outside_transaction():
        for name, definition in INDEXES:
            # A build that was interrupted leaves an invalid index behind.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON jobs {definition}")


def downgrade() -> None:
    # The release before reads uploads from the row alone.
    op.execute(
        """
        UPDATE jobs SET version = 1, source_metadata = source_metadata
            || jsonb_build_object('file_data', translate(encode(job_uploads.data, 'base64'), E'\\n', ''))
        FROM job_uploads WHERE job_uploads.job_id = jobs.job_id
        """
    )
    for name, _ in INDEXES:
        op.drop_index(name, "jobs")
    op.drop_table("queue_statistics")
    op.drop_table("job_uploads")
    op.execute("ALTER TABLE jobs RESET (" + ", ".join(part.split("=")[0] for part in AUTOVACUUM.split(",")) + ")")
    op.execute("DROP SEQUENCE queue_turn")
    for column in ("worker_id", "small", "turn"):
        op.drop_column("jobs", column)


@contextmanager
def outside_transaction() -> Iterator[None]:
    """Commit what has been done, and run the block's statements without a transaction."""
    with op.get_context().autocommit_block():
        yield


def create_job_uploads() -> None:
    op.create_table(
        "job_uploads",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_job_uploads_job_id_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name="pk_job_uploads"),
    )
    # Archives are compressed already.
    op.execute("ALTER TABLE job_uploads ALTER COLUMN data SET STORAGE EXTERNAL")


def create_queue_statistics() -> None:
    op.create_table(
        "queue_statistics",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("counted_at", TIMESTAMP, server_default=NOW, nullable=False),
        sa.Column("counts", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_queue_statistics"),
    )
