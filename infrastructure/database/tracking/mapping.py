"""Columns of a tracked repository in SQL, and rows to domain objects. Its secrets are never among them."""

from sqlalchemy import RowMapping

from domain.tracking.repository import AnalysisStatus, TrackedRepository

REPOSITORY_COLUMNS = """
    repository.id AS repository_id, repository.owner_id, repository.name, repository.full_name, repository.description,
    repository.url, repository.clone_url, repository.default_branch, repository.language, repository.stars,
    repository.forks, repository.watchers, repository.size, repository.last_analyzed, repository.heads,
    repository.analysis_status, repository.settings, repository.tags, repository.schedule, repository.next_check_at,
    repository.last_checked_at,
    (repository.check_requested_at <= statement_timestamp() OR repository.check_lease_until > statement_timestamp())
        IS TRUE AS check_pending,
    repository.failures, repository.last_error, repository.token IS NOT NULL AS has_token,
    repository.hook_secret IS NOT NULL AS has_hook_secret, repository.created_at, repository.updated_at
"""
"""SQL of the columns; the table is named `repository`."""


def repository_from_row(row: RowMapping) -> TrackedRepository:
    """Return the repository of a row that has REPOSITORY_COLUMNS, and perhaps others."""
    names = TrackedRepository.__dataclass_fields__
    values = {name: value for name, value in row.items() if name in names}
    return TrackedRepository(**{**values, "analysis_status": AnalysisStatus(row["analysis_status"])})
