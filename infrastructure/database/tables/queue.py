"""Tables of the queue: jobs, uploads, webhook deliveries, and what replicas share.

Python names differ from the database's in three places: `wakeup_number` is the column `ring`, `wakeup_at` the column
`rung_at`, and `WebhookDeliveryRow` the table `notices`.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, false, text
from sqlalchemy.orm import Mapped, mapped_column

from infrastructure.database.tables.base import EMPTY_LIST, EMPTY_OBJECT, NEW_UUID, NOW, Base

_OPEN_DELIVERY = "delivered_at IS NULL AND given_up_at IS NULL"
_ENDED_DELIVERY = "delivered_at IS NOT NULL OR given_up_at IS NOT NULL"

WAITS_FOR_CLAIM = "nullif(status = 'pending', false) IS NOT NULL AND turn IS NOT NULL"
"""The SQL of the condition that a job is pending and has a turn, in the words of the index for claims.

That index alone can serve a query with this condition. With `status = 'pending'` the planner would go by its
statistics: those from before a backlog make it read and sort all pending rows for each claim.
"""

DELIVERY_HOST = "coalesce(lower(left(substring(url, '^[^:/?#]*://([^/?#]*)'), 300)), '')"
"""The SQL of the host of a delivery's URL, with its port if it has one. It is short enough for an index entry."""


class JobRow(Base):
    """A submitted job. A trigger sets `updated_at` on every UPDATE, and another one inserts webhook deliveries."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'running', 'completed', 'failed')", name="status"),
        CheckConstraint("source_kind IN ('upload', 'github')", name="source_kind"),
        CheckConstraint("progress BETWEEN 0 AND 100", name="progress"),
        CheckConstraint("attempt >= 0", name="attempt"),
        CheckConstraint("ring >= 0", name="ring"),
        CheckConstraint("jsonb_typeof(attempt_errors) = 'array'", name="attempt_errors"),
        Index("ix_jobs_status_updated", "status", "updated_at"),
        # The claim and the assignment of turns read pending rows only, however many finished ones there are.
        Index("ix_jobs_claim", "turn", "created_at", "job_id", postgresql_where=text(WAITS_FOR_CLAIM)),
        Index(
            "ix_jobs_claim_small", "turn", "created_at", "job_id", postgresql_where=text(f"{WAITS_FOR_CLAIM} AND small")
        ),
        Index("ix_jobs_pending_user_turn", "user_id", "turn", postgresql_where=text("status = 'pending'")),
        Index("ix_jobs_pending_unstaged", "run_after", postgresql_where=text("status = 'pending' AND turn IS NULL")),
        # For the limits on unfinished jobs, for the jobs of a lost worker, and for pages of a user's jobs.
        Index("ix_jobs_unfinished_user", "user_id", postgresql_where=text("status IN ('pending', 'running')")),
        Index("ix_jobs_running_worker", "worker_id", postgresql_where=text("status = 'running'")),
        Index("ix_jobs_user_id_created_at_job_id", "user_id", text("created_at DESC"), text("job_id DESC")),
        # And for pages of those that have ended in one way, however many others the user has.
        Index(
            "ix_jobs_ended_user",
            "user_id",
            "status",
            text("created_at DESC"),
            text("job_id DESC"),
            postgresql_where=text("status IN ('completed', 'failed')"),
        ),
        # The release before claims by it.
        Index("ix_jobs_pending_oldest", "created_at", "job_id", postgresql_where=text("status = 'pending'")),
        Index("ix_jobs_pending_due", "run_after", postgresql_where=text("status = 'pending'")),
        # Counts a user's running jobs, and finds expired leases.
        Index("ix_jobs_running_user", "user_id", postgresql_where=text("status = 'running'")),
        Index("ix_jobs_running_lease", "lease_expires_at", postgresql_where=text("status = 'running'")),
        Index(
            "ix_jobs_user_id_idempotency_key",
            "user_id",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
        # Without it, deleting a run would read every job to set the reference to NULL.
        Index("ix_jobs_result_run_id", "result_run_id", postgresql_where=text("result_run_id IS NOT NULL")),
    )

    job_id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    status: Mapped[str] = mapped_column(index=True)
    source_kind: Mapped[str]
    source_metadata: Mapped[dict[str, Any] | None]
    result_run_id: Mapped[UUID | None] = mapped_column(ForeignKey("analysis_runs.run_id", ondelete="SET NULL"))
    error_message: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    attempt: Mapped[int] = mapped_column(server_default="0")
    lease_token: Mapped[UUID | None]
    lease_expires_at: Mapped[datetime | None]
    run_after: Mapped[datetime] = mapped_column(server_default=NOW)
    wakeup_number: Mapped[int] = mapped_column("ring", server_default="0")
    wakeup_at: Mapped[datetime | None] = mapped_column("rung_at")
    progress: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    stage: Mapped[str | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    attempt_errors: Mapped[list[Any]] = mapped_column(server_default=EMPTY_LIST)
    cancel_requested_at: Mapped[datetime | None]
    idempotency_key: Mapped[str | None]
    version: Mapped[int] = mapped_column(SmallInteger, server_default="1")
    notify_url: Mapped[str | None]
    turn: Mapped[int | None] = mapped_column(BigInteger)
    small: Mapped[bool] = mapped_column(server_default=false())
    worker_id: Mapped[str | None]
    options: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    refunded_at: Mapped[datetime | None]


class JobUploadRow(Base):
    """The uploaded file of a job, until the job completes or is cancelled."""

    __tablename__ = "job_uploads"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True)
    data: Mapped[bytes]


class QueueStatisticsRow(Base):
    """What one replica has counted for all: see `MaintenanceRepository.statistics`."""

    __tablename__ = "queue_statistics"

    name: Mapped[str] = mapped_column(primary_key=True)
    counted_at: Mapped[datetime] = mapped_column(server_default=NOW)
    counts: Mapped[dict[str, Any]]


class WebhookDeliveryRow(Base):
    """A webhook delivery of a job's end. A trigger on `jobs` inserts it."""

    __tablename__ = "notices"
    __table_args__ = (
        CheckConstraint("status IN ('completed', 'failed')", name="status"),
        Index("ix_notices_due", "due_at", postgresql_where=text(_OPEN_DELIVERY)),
        # The claim reads it host by host.
        Index("ix_notices_open_host", text(DELIVERY_HOST), "due_at", postgresql_where=text(_OPEN_DELIVERY)),
        # For operators, who look for those that were given up among many that have arrived.
        Index("ix_notices_given_up", "given_up_at", "notice_id", postgresql_where=text("given_up_at IS NOT NULL")),
        # For cleanup, as that of `daily_usage` by day.
        Index("ix_notices_ended", text("coalesce(delivered_at, given_up_at)"), postgresql_where=text(_ENDED_DELIVERY)),
    )

    delivery_id: Mapped[UUID] = mapped_column("notice_id", primary_key=True, server_default=NEW_UUID)
    job_id: Mapped[str] = mapped_column(index=True)
    user_id: Mapped[UUID]
    url: Mapped[str]
    status: Mapped[str]
    error_message: Mapped[str | None]
    run_id: Mapped[UUID | None]
    finished_at: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    attempt: Mapped[int] = mapped_column(server_default="0")
    due_at: Mapped[datetime] = mapped_column(server_default=NOW)
    delivered_at: Mapped[datetime | None]
    given_up_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    repository_id: Mapped[UUID | None]


class FleetControlRow(Base):
    """A control that operators have set for the whole fleet, such as `paused`."""

    __tablename__ = "fleet_controls"

    name: Mapped[str] = mapped_column(primary_key=True)
    set_at: Mapped[datetime] = mapped_column(server_default=NOW)


class CronSlotRow(Base):
    """A slot of a periodic task that a replica has taken. The primary key lets only one replica take it."""

    __tablename__ = "cron_slots"

    name: Mapped[str] = mapped_column(primary_key=True)
    slot: Mapped[datetime] = mapped_column(primary_key=True)
    claimed_at: Mapped[datetime] = mapped_column(server_default=NOW)
