"""Tables of users: who they are, what they may do, and what they did."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CHAR, CheckConstraint, ForeignKey, Index, Text, UniqueConstraint, text, true
from sqlalchemy.dialects.postgresql import ARRAY, INET
from sqlalchemy.orm import Mapped, mapped_column

from infrastructure.database.tables.base import EMPTY_OBJECT, NEW_UUID, NOW, Base


class UserRow(Base):
    """A user who submits jobs."""

    __tablename__ = "users"
    __table_args__ = (CheckConstraint("tier IN ('free', 'pro', 'team', 'enterprise')", name="tier"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    email: Mapped[str] = mapped_column(unique=True, index=True)
    auth0_sub: Mapped[str | None] = mapped_column(unique=True, index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_login: Mapped[datetime | None]
    tier: Mapped[str] = mapped_column(server_default="free")


class DailyUsageRow(Base):
    """The number of a user's submissions on a day (UTC). It stays when job rows are deleted."""

    __tablename__ = "daily_usage"
    __table_args__ = (CheckConstraint("submitted >= 0", name="submitted"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True, index=True)
    submitted: Mapped[int] = mapped_column(server_default="0")


class UsageTrackingRow(Base):
    """What a user has used of a month (UTC, `YYYY-MM`). `repositories_count` is the most that were tracked at once."""

    __tablename__ = "usage_tracking"
    __table_args__ = (
        CheckConstraint("analyses_count >= 0", name="analyses_count"),
        CheckConstraint("reports_count >= 0", name="reports_count"),
        CheckConstraint("repositories_count >= 0", name="repositories_count"),
        UniqueConstraint("user_id", "month_year"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    month_year: Mapped[str] = mapped_column(CHAR(7), index=True)
    analyses_count: Mapped[int] = mapped_column(server_default="0")
    reports_count: Mapped[int] = mapped_column(server_default="0")
    repositories_count: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ApiKeyRow(Base):
    """A key with which a program acts for a user. The key itself is not stored, only its SHA-256."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("rate_limit > 0", name="rate_limit"),
        CheckConstraint("permissions <@ ARRAY['read', 'submit', 'manage', 'operate']", name="permissions"),
        Index("ix_api_keys_user_id_created_at_id", "user_id", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str]
    prefix: Mapped[str] = mapped_column(index=True)
    key_hash: Mapped[bytes] = mapped_column(unique=True)
    permissions: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    rate_limit: Mapped[int] = mapped_column(server_default="1000")
    last_used: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    is_active: Mapped[bool] = mapped_column(server_default=true())
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class SessionRow(Base):
    """A person's session in a browser. The cookie's text is not stored, only its SHA-256."""

    __tablename__ = "sessions"
    __table_args__ = (
        CheckConstraint("permissions <@ ARRAY['read', 'submit', 'manage', 'operate']", name="permissions"),
        Index("ix_sessions_user_id_created_at_id", "user_id", "created_at", "id"),
        Index("ix_sessions_key_id", "key_id", postgresql_where=text("key_id IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    key_id: Mapped[UUID | None] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"))
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    permissions: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_seen_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SignInTokenRow(Base):
    """A link that signs a user in once. Its text is not stored, only its SHA-256."""

    __tablename__ = "sign_in_tokens"
    __table_args__ = (
        CheckConstraint("permissions <@ ARRAY['read', 'submit', 'manage', 'operate']", name="permissions"),
    )

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    permissions: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime] = mapped_column(index=True)


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

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    user_id: Mapped[UUID | None]
    action: Mapped[str]
    resource_type: Mapped[str]
    resource_id: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    ip_address: Mapped[str | None] = mapped_column(INET)
    user_agent: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(primary_key=True, server_default=NOW)
