"""Table of shared reports."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, true
from sqlalchemy.orm import Mapped, mapped_column

from infrastructure.database.tables.base import NEW_UUID, NOW, Base


class ReportRow(Base):
    """A code by which anyone can read the report of a run. `is_public` is false once it is withdrawn."""

    __tablename__ = "reports"
    __table_args__ = (
        CheckConstraint("max_views > 0", name="max_views"),
        CheckConstraint("view_count >= 0", name="view_count"),
        Index("ix_reports_owner_id_created_at_id", "owner_id", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    run_id: Mapped[UUID] = mapped_column(ForeignKey("analysis_runs.run_id", ondelete="CASCADE"), index=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    short_code: Mapped[str] = mapped_column(String(32), unique=True)
    is_public: Mapped[bool] = mapped_column(server_default=true())
    password_hash: Mapped[str | None]
    expires_at: Mapped[datetime | None]
    max_views: Mapped[int | None]
    view_count: Mapped[int] = mapped_column(server_default="0")
    last_viewed_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
