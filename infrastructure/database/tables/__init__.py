"""The schema for SQLAlchemy, a module for each subject. The migrations create it; triggers exist only there."""

from infrastructure.database.tables.base import Base
from infrastructure.database.tables.evaluations import EvaluationRunRow
from infrastructure.database.tables.queue import (
    DELIVERY_HOST,
    WAITS_FOR_CLAIM,
    CronSlotRow,
    FleetControlRow,
    JobRow,
    JobUploadRow,
    QueueStatisticsRow,
    WebhookDeliveryRow,
)
from infrastructure.database.tables.reports import ReportRow
from infrastructure.database.tables.runs import AnalysisRunRow, InsightRow
from infrastructure.database.tables.tracking import FollowRow, HookDeliveryRow, RepositoryRow, TrackedJobEndRow
from infrastructure.database.tables.users import (
    ApiKeyRow,
    AuditLogRow,
    DailyUsageRow,
    SessionRow,
    SignInTokenRow,
    UsageTrackingRow,
    UserRow,
)

__all__ = [
    "DELIVERY_HOST",
    "WAITS_FOR_CLAIM",
    "AnalysisRunRow",
    "ApiKeyRow",
    "AuditLogRow",
    "Base",
    "CronSlotRow",
    "DailyUsageRow",
    "EvaluationRunRow",
    "FleetControlRow",
    "FollowRow",
    "HookDeliveryRow",
    "InsightRow",
    "JobRow",
    "JobUploadRow",
    "QueueStatisticsRow",
    "ReportRow",
    "RepositoryRow",
    "SessionRow",
    "SignInTokenRow",
    "TrackedJobEndRow",
    "UsageTrackingRow",
    "UserRow",
    "WebhookDeliveryRow",
]
