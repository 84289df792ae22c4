"""Counts of all jobs. One replica a period counts, in one row of `queue_statistics`, and all read that row."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.jobs import JOB_VERSION, JobStatus, StatusCount
from domain.text import JSON

# Without the condition, the insert would wait for a replica that is counting.
_ADD_ROW = text("""
    INSERT INTO queue_statistics (name, counted_at, counts) SELECT 'jobs', to_timestamp(0), '{}'
    WHERE NOT EXISTS (SELECT 1 FROM queue_statistics WHERE name = 'jobs')
    ON CONFLICT DO NOTHING
""")

# The row stays locked while the jobs are counted. Other replicas skip it instead of waiting; a replica that dies, or
# whose count is cancelled, leaves the row as it was, so that `counted_at` is always the time of these counts.
_TAKE_PERIOD = text("""
    SELECT 1 FROM queue_statistics
    WHERE name = 'jobs' AND counted_at <= statement_timestamp() - make_interval(secs => :period)
    FOR UPDATE SKIP LOCKED
""")
_COUNT = text("""
    UPDATE queue_statistics SET counted_at = statement_timestamp(), counts = jsonb_build_object('groups', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'status', status, 'version', version, 'jobs', jobs,
            'oldest_seconds', extract(epoch FROM statement_timestamp() - oldest))), '[]')
        FROM (SELECT status, version, count(*) AS jobs, min(created_at) AS oldest
              FROM jobs GROUP BY status, version) AS counted
    ), 'audit_default_rows', (SELECT count(*) FROM (SELECT 1 FROM audit_logs_default LIMIT 1000) AS misplaced),
    'overdue_checks', (SELECT count(*) FROM (
        SELECT 1 FROM repositories
        WHERE schedule IS NOT NULL AND next_check_at < statement_timestamp() - interval '10 minutes' LIMIT 10000
    ) AS overdue))
    WHERE name = 'jobs'
""")
_READ = text("""
    SELECT counts, extract(epoch FROM statement_timestamp() - counted_at)::float8 AS age FROM queue_statistics
    WHERE name = 'jobs' AND counts ? 'groups'
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatistics:
    """The last count of all jobs, and how long ago it was made."""

    age_seconds: float
    """More than a few periods: no worker runs, or counting fails."""
    counts: Mapping[JobStatus, StatusCount]
    """Every status, with the ages of the time of the count."""
    newer_version: int
    """Pending jobs that only a newer program can run."""
    audit_default_rows: int
    """Rows in the default partition of the audit log, counted to 1,000: their months have no partition."""
    overdue_checks: int
    """Tracked repositories whose check was due more than 10 minutes before the count, counted to 10,000."""


class StatisticsRepository:
    """The row `jobs` of the table `queue_statistics`, within one unit of work. Times are the database's."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def count_if_due(self, period_seconds: float) -> bool:
        """Count all jobs, unless they were counted less than a period ago or another replica is counting them.

        Returns whether this call has counted.
        """
        taken = await self._connection.scalar(_TAKE_PERIOD, {"period": period_seconds})
        if taken is None:
            if not (await self._connection.execute(_ADD_ROW)).rowcount:
                return False
            if await self._connection.scalar(_TAKE_PERIOD, {"period": period_seconds}) is None:
                return False
        await self._connection.execute(_COUNT)
        return True

    async def read(self) -> QueueStatistics | None:
        """Return the last count, or None if the jobs have never been counted."""
        row = (await self._connection.execute(_READ)).one_or_none()
        return None if row is None else _statistics(row.counts, row.age)


def _statistics(document: Mapping[str, JSON], age: float) -> QueueStatistics:
    groups: list[Mapping[str, JSON]] = document["groups"]
    counts = {}
    for status in JobStatus:
        same = [group for group in groups if group["status"] == status]
        oldest = max((float(group["oldest_seconds"]) for group in same), default=0.0)
        counts[status] = StatusCount(jobs=sum(int(group["jobs"]) for group in same), oldest_seconds=oldest)
    newer = sum(
        int(group["jobs"])
        for group in groups
        if group["status"] == JobStatus.PENDING and int(group["version"]) > JOB_VERSION
    )
    return QueueStatistics(
        age_seconds=age,
        counts=counts,
        newer_version=newer,
        audit_default_rows=int(document.get("audit_default_rows", 0)),  # a worker of the release before counts none
        overdue_checks=int(document.get("overdue_checks", 0)),
    )
