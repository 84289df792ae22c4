"""What an API imports: submit jobs, watch them, take their results, and read the history of runs."""

from domain.evaluations.evaluation import (
    Declaration,
    Evaluation,
    EvaluationCursor,
    EvaluationStatus,
    EvaluationSummary,
    Member,
    MemberState,
    Outcome,
)
from domain.findings.roles import Role
from domain.findings.severity import FindingSeverity
from domain.findings.states import FindingState
from domain.gate.policy import Policy, parse_policy
from domain.jobs import AttemptError, Job, JobCursor, JobStatus
from domain.keys import ApiKey, AuthenticatedKey, CreatedKey, Permission, RateLimit
from domain.options import JobOptions
from domain.plans import PlanLimits, Tier, Usage
from domain.reports import ReportCursor, SharedReport
from domain.runs import Run, RunCursor, RunOrigin, RunSummary
from domain.sources import Authorship
from domain.statistics.trends import Series, Trend, TrendRun
from domain.tracking.follows import Follow, FollowCursor, FollowSettings, FollowWhen
from domain.tracking.hooks import HookOutcome
from domain.tracking.repository import (
    AnalysisStatus,
    RepositoryCursor,
    RepositoryStatistics,
    TrackedRepository,
    TrendingRepository,
)
from domain.tracking.settings import RepositorySettings
from domain.webhooks import WebhookDelivery
from infrastructure.database.access.usage import MonthUsage
from worker.client.accounts.usage import UserUsage
from worker.client.client import Client
from worker.client.evaluations.items import EvaluationItem
from worker.client.jobs.submissions import RepositorySubmission, Submission, UploadSubmission, job_options_from_json
from worker.client.repositories.changes import RepositoryChanges, repository_settings_from_json
from worker.client.repositories.serializers import follow_to_json, repository_to_json, trending_to_json
from worker.client.results import (
    Completed,
    FindingPage,
    JobFailed,
    JobResult,
    Page,
    ProjectTrend,
    RunComparison,
    Unfinished,
)
from worker.client.serializers import (
    comparison_to_json,
    empty_result_to_json,
    finding_page_to_json,
    job_to_json,
    run_summary_to_json,
    run_to_json,
    trend_to_json,
    webhook_delivery_to_json,
)
from worker.export.export_format import ExportFormat
from worker.results.evaluations.evaluation_format import EvaluationFormat

__all__ = [
    "AnalysisStatus",
    "ApiKey",
    "AttemptError",
    "AuthenticatedKey",
    "Authorship",
    "Client",
    "Completed",
    "CreatedKey",
    "Declaration",
    "Evaluation",
    "EvaluationCursor",
    "EvaluationFormat",
    "EvaluationItem",
    "EvaluationStatus",
    "EvaluationSummary",
    "ExportFormat",
    "FindingPage",
    "FindingSeverity",
    "FindingState",
    "Follow",
    "FollowCursor",
    "FollowSettings",
    "FollowWhen",
    "HookOutcome",
    "Job",
    "JobCursor",
    "JobFailed",
    "JobOptions",
    "JobResult",
    "JobStatus",
    "Member",
    "MemberState",
    "MonthUsage",
    "Outcome",
    "Page",
    "Permission",
    "PlanLimits",
    "Policy",
    "ProjectTrend",
    "RateLimit",
    "ReportCursor",
    "RepositoryChanges",
    "RepositoryCursor",
    "RepositorySettings",
    "RepositoryStatistics",
    "RepositorySubmission",
    "Role",
    "Run",
    "RunComparison",
    "RunCursor",
    "RunOrigin",
    "RunSummary",
    "Series",
    "SharedReport",
    "Submission",
    "Tier",
    "TrackedRepository",
    "Trend",
    "TrendRun",
    "TrendingRepository",
    "Unfinished",
    "UploadSubmission",
    "Usage",
    "UserUsage",
    "WebhookDelivery",
    "comparison_to_json",
    "empty_result_to_json",
    "finding_page_to_json",
    "follow_to_json",
    "job_options_from_json",
    "job_to_json",
    "parse_policy",
    "repository_settings_from_json",
    "repository_to_json",
    "run_summary_to_json",
    "run_to_json",
    "trend_to_json",
    "trending_to_json",
    "webhook_delivery_to_json",
]
