"""Tables of finished analyses."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Float, ForeignKey, Index, Numeric, String, false, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from infrastructure.database.tables.base import EMPTY_LIST, EMPTY_OBJECT, NEW_UUID, NOW, Base


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
        Index("ix_analysis_runs_tags", "tags", postgresql_using="gin", postgresql_ops={"tags": "jsonb_path_ops"}),
        Index("ix_analysis_runs_evaluation_id", "evaluation_id", postgresql_where=text("evaluation_id IS NOT NULL")),
        Index("ix_analysis_runs_pinned", "user_id", "project_key", postgresql_where=text("pinned")),
        # The runs of a tracked repository.
        Index(
            "ix_analysis_runs_repository",
            text("(options ->> 'repository_id')"),
            "created_at",
            postgresql_where=text("options ? 'repository_id'"),
        ),
    )

    run_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW, index=True)
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
    errors: Mapped[list[Any]] = mapped_column(server_default=EMPTY_LIST)
    job_id: Mapped[str | None] = mapped_column(unique=True, index=True)
    findings: Mapped[dict[str, Any]] = mapped_column(server_default=text("""'{"total": 0, "items": []}'::jsonb"""))
    duration_ms: Mapped[int | None]
    timings_ms: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    tool_versions: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    completeness: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
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
    evaluation_id: Mapped[UUID | None]
    options: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    tags: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)


class InsightRow(Base):
    """One statement about a run, made by a rule. `repository_id` names the tracked repository of the run, if any."""

    __tablename__ = "insights"
    __table_args__ = (
        CheckConstraint("confidence_score BETWEEN 0 AND 1", name="confidence_score"),
        Index("ix_insights_repository_type", "repository_id", "type"),
        Index("ix_insights_type_confidence", "type", text("confidence_score DESC")),
        Index("ix_insights_data", "data", postgresql_using="gin"),
        Index("ix_insights_tags", "tags", postgresql_using="gin"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    repository_id: Mapped[UUID | None]
    run_id: Mapped[UUID] = mapped_column(ForeignKey("analysis_runs.run_id", ondelete="CASCADE"), index=True)
    type: Mapped[str]
    title: Mapped[str]
    description: Mapped[str]
    confidence_score: Mapped[Decimal] = mapped_column(Numeric(3, 2))
    data: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    model_version: Mapped[str]
    tags: Mapped[list[str]] = mapped_column(ARRAY(String()), server_default=text("'{}'::varchar[]"))
    generated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
