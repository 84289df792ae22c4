"""Tracked repositories, their followers and hooks, and the ends of their jobs."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from infrastructure.database.tables.base import EMPTY_OBJECT, NEW_UUID, NOW, Base


class RepositoryRow(Base):
    """A repository that is analysed when one of its branches has moved.

    `url` is the normalised `clone_url`. `token` and `hook_secret` are encrypted as tokens in Redis are. A check is due
    at `next_check_at`, if there is a schedule, and at `check_requested_at`; `check_lease_until` says that a worker is
    at it.
    """

    __tablename__ = "repositories"
    __table_args__ = (
        CheckConstraint("analysis_status IN ('pending', 'in_progress', 'completed', 'failed')", name="analysis_status"),
        # Serves any page of an owner's repositories too.
        Index("ix_repositories_owner_url", "owner_id", "url", unique=True),
        Index("ix_repositories_owner_status", "owner_id", "analysis_status"),
        Index("ix_repositories_due", "next_check_at", postgresql_where=text("schedule IS NOT NULL")),
        Index("ix_repositories_asked", "check_requested_at", postgresql_where=text("check_requested_at IS NOT NULL")),
        *(
            Index(
                f"ix_repositories_{column}", column, postgresql_using="gin", postgresql_ops={column: "jsonb_path_ops"}
            )
            for column in ("settings", "tags")
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str]
    full_name: Mapped[str]
    description: Mapped[str | None]
    url: Mapped[str]
    clone_url: Mapped[str]
    default_branch: Mapped[str | None]
    language: Mapped[str | None]
    stars: Mapped[int] = mapped_column(server_default="0")
    forks: Mapped[int] = mapped_column(server_default="0")
    watchers: Mapped[int] = mapped_column(server_default="0")
    size: Mapped[int] = mapped_column(server_default="0")
    last_analyzed: Mapped[datetime | None]
    last_checked_at: Mapped[datetime | None]
    heads: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    analysis_status: Mapped[str] = mapped_column(server_default="pending")
    settings: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    tags: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    schedule: Mapped[str | None]
    next_check_at: Mapped[datetime | None]
    check_requested_at: Mapped[datetime | None]
    check_lease_until: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(server_default="0")
    refusals: Mapped[int] = mapped_column(server_default="0")
    last_error: Mapped[str | None]
    token: Mapped[str | None]
    hook_secret: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class FollowRow(Base):
    """A user who follows a repository."""

    __tablename__ = "user_repository_follows"
    __table_args__ = (
        Index("ix_user_repository_follows_repository", "repository_id"),
        Index("ix_user_repository_follows_newest", "user_id", "followed_at", "repository_id"),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    repository_id: Mapped[UUID] = mapped_column(ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True)
    followed_at: Mapped[datetime] = mapped_column(server_default=NOW)
    notification_settings: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)


class HookDeliveryRow(Base):
    """A delivery of a push hook, so that it counts once."""

    __tablename__ = "repository_hook_deliveries"

    repository_id: Mapped[UUID] = mapped_column(ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True)
    delivery: Mapped[str] = mapped_column(primary_key=True)
    received_at: Mapped[datetime] = mapped_column(server_default=NOW, index=True)


class TrackedJobEndRow(Base):
    """The end of a job of a tracked repository, until its repository and followers know. A trigger inserts it."""

    __tablename__ = "tracked_job_ends"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    job_id: Mapped[str]
    user_id: Mapped[UUID]
    repository_id: Mapped[UUID]
    status: Mapped[str]
    error_message: Mapped[str | None]
    run_id: Mapped[UUID | None]
    branch: Mapped[str | None]
    head: Mapped[str | None]
    finished_at: Mapped[datetime]
