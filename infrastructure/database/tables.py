"""The schema for SQLAlchemy. The migrations create it; triggers exist only there.

Python names differ from the database's in three places: `wakeup_number` is the column `ring`, `wakeup_at` the column
`rung_at`, and `WebhookDeliveryRow` the table `notices`.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Float,
    ForeignKey,
    Index,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, INET, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

_NOW = func.now()
_EMPTY_LIST = text("'[]'::jsonb")
_EMPTY_OBJECT = text("'{}'::jsonb")
_NEW_UUID = func.gen_random_uuid()
_OPEN_DELIVERY = "delivered_at IS NULL AND given_up_at IS NULL"
_ENDED_DELIVERY = "delivered_at IS NOT NULL OR given_up_at IS NOT NULL"

WAITS_FOR_CLAIM = "nullif(status = 'pending', false) IS NOT NULL AND turn IS NOT NULL"
"""The SQL of the condition that a job is pending and has a turn, in the words of the index for claims.

That index alone can serve a query with this condition. With `status = 'pending'` the planner would go by its
statistics: those from before a backlog make it read and sort all pending rows for each claim.
"""

DELIVERY_HOST = "coalesce(lower(left(substring(url, '^[^:/?#]*://([^/?#]*)'), 300)), '')"
"""The SQL of the host of a delivery's URL, with its port if it has one. It is short enough for an index entry."""


class Base(DeclarativeBase):
    """Base class of all tables. None in a JSONB column is stored as NULL, not as JSON's null."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: String(),
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(none_as_null=True),
        list[Any]: JSONB(none_as_null=True),
    }


class UserRow(Base):
    """A user who submits jobs."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=_NEW_UUID)
    email: Mapped[str] = mapped_column(unique=True, index=True)
    auth0_sub: Mapped[str | None] = mapped_column(unique=True, index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    last_login: Mapped[datetime | None]


class AnalysisRunRow(Base):
    """The result of one job. `job_id` has no foreign key: the run stays when the job is deleted."""

    __tablename__ = "analysis_runs"
    __table_args__ = (
        CheckConstraint("submission_type IN ('upload', 'github')", name="submission_type"),
        CheckConstraint("review_verdict IN ('APPROVED', 'REJECTED', 'NOT_EVALUATED')", name="review_verdict"),
        # Serves any page of a user's runs, newest first.
        Index("ix_analysis_runs_user_id_created_at_run_id", "user_id", "created_at", "run_id"),
        # Without it, deleting a run would read every run to set the references to NULL.
        Index(
            "ix_analysis_runs_baseline_run_id",
            "baseline_run_id",
            postgresql_where=text("baseline_run_id IS NOT NULL"),
        ),
        # For the choice of a baseline among the runs of a project.
        Index(
            "ix_analysis_runs_project",
            "user_id",
            "project_key",
            "created_at",
            postgresql_where=text("project_key IS NOT NULL"),
        ),
        Index("ix_analysis_runs_pinned", "user_id", "project_key", postgresql_where=text("pinned")),
    )

    run_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=_NEW_UUID)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW, index=True)
    upload_filename: Mapped[str | None]
    submission_type: Mapped[str]
    project_name: Mapped[str | None]
    author_type: Mapped[str | None]
    author_model: Mapped[str | None]
    git_repo_url: Mapped[str | None]
    git_branch: Mapped[str | None]
    git_commit_sha: Mapped[str | None]
    metrics: Mapped[dict[str, Any]]
    file_tree: Mapped[dict[str, Any] | None]
    errors: Mapped[list[Any]] = mapped_column(server_default=_EMPTY_LIST)
    job_id: Mapped[str | None] = mapped_column(unique=True, index=True)
    findings: Mapped[dict[str, Any]] = mapped_column(server_default=text("""'{"total": 0, "items": []}'::jsonb"""))
    duration_ms: Mapped[int | None]
    timings_ms: Mapped[dict[str, Any]] = mapped_column(server_default=_EMPTY_OBJECT)
    tool_versions: Mapped[dict[str, Any]] = mapped_column(server_default=_EMPTY_OBJECT)
    completeness: Mapped[dict[str, Any]] = mapped_column(server_default=_EMPTY_OBJECT)
    history: Mapped[dict[str, Any] | None]
    baseline_run_id: Mapped[UUID | None] = mapped_column(ForeignKey("analysis_runs.run_id", ondelete="SET NULL"))
    comparison: Mapped[dict[str, Any] | None]
    project_key: Mapped[str | None]
    on_default_branch: Mapped[bool | None]
    pinned: Mapped[bool] = mapped_column(server_default=false())
    quality_score: Mapped[float | None] = mapped_column(Float)
    review_verdict: Mapped[str | None]
    review_policy: Mapped[dict[str, Any] | None]
    review_criteria_checklist: Mapped[list[Any] | None]
    review_strengths: Mapped[list[Any] | None]
    review_weaknesses: Mapped[list[Any] | None]
    options: Mapped[dict[str, Any]] = mapped_column(server_default=_EMPTY_OBJECT)


class InsightRow(Base):
    """One statement about a run, made by a rule. `repository_id` will refer to a tracked repository."""

    __tablename__ = "insights"
    __table_args__ = (
        CheckConstraint("confidence_score BETWEEN 0 AND 1", name="confidence_score"),
        Index("ix_insights_repository_type", "repository_id", "type"),
        Index("ix_insights_type_confidence", "type", text("confidence_score DESC")),
        Index("ix_insights_data", "data", postgresql_using="gin"),
        Index("ix_insights_tags", "tags", postgresql_using="gin"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=_NEW_UUID)
    repository_id: Mapped[UUID | None]
    run_id: Mapped[UUID] = mapped_column(ForeignKey("analysis_runs.run_id", ondelete="CASCADE"), index=True)
    type: Mapped[str]
    title: Mapped[str]
    description: Mapped[str]
    confidence_score: Mapped[Decimal] = mapped_column(Numeric(3, 2))
    data: Mapped[dict[str, Any]] = mapped_column(server_default=_EMPTY_OBJECT)
    model_version: Mapped[str]
    tags: Mapped[list[str]] = mapped_column(ARRAY(String()), server_default=text("'{}'::varchar[]"))
    generated_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)


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
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    attempt: Mapped[int] = mapped_column(server_default="0")
    lease_token: Mapped[UUID | None]
    lease_expires_at: Mapped[datetime | None]
    run_after: Mapped[datetime] = mapped_column(server_default=_NOW)
    wakeup_number: Mapped[int] = mapped_column("ring", server_default="0")
    wakeup_at: Mapped[datetime | None] = mapped_column("rung_at")
    progress: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    stage: Mapped[str | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    attempt_errors: Mapped[list[Any]] = mapped_column(server_default=_EMPTY_LIST)
    cancel_requested_at: Mapped[datetime | None]
    idempotency_key: Mapped[str | None]
    version: Mapped[int] = mapped_column(SmallInteger, server_default="1")
    notify_url: Mapped[str | None]
    turn: Mapped[int | None] = mapped_column(BigInteger)
    small: Mapped[bool] = mapped_column(server_default=false())
    worker_id: Mapped[str | None]
    options: Mapped[dict[str, Any]] = mapped_column(server_default=_EMPTY_OBJECT)


class JobUploadRow(Base):
    """The uploaded file of a job, until the job completes or is cancelled."""

    __tablename__ = "job_uploads"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True)
    data: Mapped[bytes]


class QueueStatisticsRow(Base):
    """What one replica has counted for all: see `MaintenanceRepository.statistics`."""

    __tablename__ = "queue_statistics"

    name: Mapped[str] = mapped_column(primary_key=True)
    counted_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    counts: Mapped[dict[str, Any]]


class WebhookDeliveryRow(Base):
    """A webhook delivery of a job's end. A trigger on `jobs` inserts it."""

    __tablename__ = "notices"
    __table_args__ = (
        CheckConstraint("status IN ('completed', 'failed')", name="status"),
        Index("ix_notices_due", "due_at", postgresql_where=text(_OPEN_DELIVERY)),
        # The claim reads it host by host.
        Index("ix_notices_open_host", text(DELIVERY_HOST), "due_at", postgresql_where=text(_OPEN_DELIVERY)),
        # For cleanup, as that of `daily_usage` by day.
        Index("ix_notices_ended", text("coalesce(delivered_at, given_up_at)"), postgresql_where=text(_ENDED_DELIVERY)),
    )

    delivery_id: Mapped[UUID] = mapped_column("notice_id", primary_key=True, server_default=_NEW_UUID)
    job_id: Mapped[str] = mapped_column(index=True)
    user_id: Mapped[UUID]
    url: Mapped[str]
    status: Mapped[str]
    error_message: Mapped[str | None]
    run_id: Mapped[UUID | None]
    finished_at: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    attempt: Mapped[int] = mapped_column(server_default="0")
    due_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    delivered_at: Mapped[datetime | None]
    given_up_at: Mapped[datetime | None]
    last_error: Mapped[str | None]


class DailyUsageRow(Base):
    """The number of a user's submissions on a day (UTC). It stays when job rows are deleted."""

    __tablename__ = "daily_usage"
    __table_args__ = (CheckConstraint("submitted >= 0", name="submitted"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True, index=True)
    submitted: Mapped[int] = mapped_column(server_default="0")


class FleetControlRow(Base):
    """A control that operators have set for the whole fleet, such as `paused`."""

    __tablename__ = "fleet_controls"

    name: Mapped[str] = mapped_column(primary_key=True)
    set_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class CronSlotRow(Base):
    """A slot of a periodic task that a replica has taken. The primary key lets only one replica take it."""

    __tablename__ = "cron_slots"

    name: Mapped[str] = mapped_column(primary_key=True)
    slot: Mapped[datetime] = mapped_column(primary_key=True)
    claimed_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class AuditLogRow(Base):
    """An act. Triggers refuse changes. Functions of the database make and drop the partitions, which start alike."""

    __tablename__ = "audit_logs"
    __table_args__ = (
        Index("ix_audit_logs_created_at_id", "created_at", "id"),
        Index("ix_audit_logs_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_audit_logs_action_created_at_id", "action", "created_at", "id"),
        Index("ix_audit_logs_resource", "resource_type", "resource_id"),
        # For the deletion of a user, which clears address and agent.
        Index(
            "ix_audit_logs_traced",
            "user_id",
            "created_at",
            "id",
            postgresql_where=text("ip_address IS NOT NULL OR user_agent IS NOT NULL"),
        ),
        {"postgresql_partition_by": "RANGE (created_at)"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=_NEW_UUID)
    user_id: Mapped[UUID | None]
    action: Mapped[str]
    resource_type: Mapped[str]
    resource_id: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column(server_default=_EMPTY_OBJECT)
    ip_address: Mapped[str | None] = mapped_column(INET)
    user_agent: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(primary_key=True, server_default=_NOW)
