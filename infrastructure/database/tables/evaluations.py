"""Evaluations, which compare the runs of declared authors."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from infrastructure.database.tables.base import EMPTY_OBJECT, NEW_UUID, NOW, Base


class EvaluationRunRow(Base):
    """An evaluation. `config` holds its members as they were declared, and `metrics` how each of them ended.

    Its jobs name it in `options`, and their runs in `evaluation_id`, which has no foreign key: the key would lock the
    evaluation as a run is inserted, and the end of another member could then deadlock with it.
    """

    __tablename__ = "evaluation_runs"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'running', 'completed', 'failed')", name="status"),
        # Serves any page of a user's evaluations, newest first.
        Index("ix_evaluation_runs_user_id_created_at_id", "user_id", "created_at", "id"),
        # For the open ones, which cleanup looks through.
        Index("ix_evaluation_runs_status_updated_at", "status", "updated_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=NEW_UUID)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(server_default="")
    model_name: Mapped[str | None]
    dataset_name: Mapped[str] = mapped_column(server_default="")
    config: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    status: Mapped[str] = mapped_column(server_default="pending")
    metrics: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    finished_at: Mapped[datetime | None]
