"""The numbers of a project's runs over time, without their large documents."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.findings.roles import Role
from domain.selection import Selection
from domain.statistics.trends import TrendRun

NEWEST_RUNS = 1_000
"""The most runs that are read. Runs of a commit that was analysed again count, so it is more than a series needs."""

QUALITY = "quality"
"""Name that stands beside the metrics' for the quality score of a run."""

_KNOWN = text("""
    SELECT key FROM unnest(CAST(:keys AS text[])) WITH ORDINALITY AS named (key, position)
    WHERE EXISTS (SELECT FROM analysis_runs WHERE user_id = :user_id AND project_key = key)
    ORDER BY position LIMIT 1
""")
_OF_RUN = text("SELECT project_key FROM analysis_runs WHERE user_id = :user_id AND run_id = :run_id")
_BRANCH = text("""
    SELECT git_branch FROM (
        SELECT git_branch, on_default_branch, created_at FROM analysis_runs
        WHERE user_id = :user_id AND project_key = :project_key ORDER BY created_at DESC LIMIT :limit
    ) AS newest
    ORDER BY on_default_branch IS TRUE DESC, created_at DESC LIMIT 1
""")
# Of a metric with numbers of each role, those of source files. Lists and texts are no numbers of a trend.
_RUNS = text(f"""
    SELECT run_id, created_at, git_commit_sha, tool_versions, quality_score,
        completeness -> 'collectors' AS collectors,
        jsonb_build_object(
            'collectors', options -> 'collectors', 'include', options -> 'include', 'exclude', options -> 'exclude'
        ) AS options, (
        SELECT jsonb_object_agg(metric.key, (
            SELECT coalesce(jsonb_object_agg(number.key, number.value), '{{}}')
            FROM jsonb_each(coalesce(metric.value #> '{{by_role,{Role.SOURCE}}}', metric.value)) AS number
            WHERE jsonb_typeof(number.value) = 'number'
        ))
        FROM jsonb_each(metrics) AS metric WHERE jsonb_typeof(metric.value) = 'object'
    ) AS numbers
    FROM analysis_runs
    WHERE user_id = :user_id AND project_key = :project_key AND git_branch IS NOT DISTINCT FROM :branch
        AND created_at <= coalesce(CAST(:until AS timestamptz), 'infinity')
    ORDER BY created_at DESC LIMIT :limit
""")  # nosec B608 # noqa: S608 - no input in it


class TrendQuery:
    """The runs of one user's projects, within one unit of work."""

    def __init__(self, connection: AsyncConnection, user_id: UUID) -> None:
        self._connection = connection
        self._user_id = user_id

    async def first_known(self, project_keys: Sequence[str]) -> str | None:
        """Return the first of the keys that a run of the user has; None if no run has any."""
        values = {"user_id": self._user_id, "keys": list(project_keys)}
        found: str | None = await self._connection.scalar(_KNOWN, values)
        return found

    async def project_key_of(self, run_id: UUID) -> str | None:
        """Return the project of a run of the user; None if it has none."""
        found: str | None = await self._connection.scalar(_OF_RUN, {"user_id": self._user_id, "run_id": run_id})
        return found

    async def main_branch(self, project_key: str) -> str | None:
        """Return the default branch where one of the newest runs was of it, else the branch of the newest run."""
        values = {"user_id": self._user_id, "project_key": project_key, "limit": NEWEST_RUNS}
        found: str | None = await self._connection.scalar(_BRANCH, values)
        return found

    async def runs(self, project_key: str, branch: str | None, until: datetime | None = None) -> list[TrendRun]:
        """Return the newest runs of the project and branch, at most NEWEST_RUNS, the newest first.

        With `until`, those that were stored by then.
        """
        named = {"user_id": self._user_id, "project_key": project_key, "branch": branch}
        values = {**named, "until": until, "limit": NEWEST_RUNS}
        return [
            TrendRun(
                run_id=row.run_id,
                created_at=row.created_at,
                commit=row.git_commit_sha,
                numbers={**(row.numbers or {}), QUALITY: {"quality_score": row.quality_score}},
                tool_versions=row.tool_versions,
                complete=bool(row.collectors) and "failed" not in row.collectors.values(),
                selection=Selection.of_stored(row.options),
            )
            for row in await self._connection.execute(_RUNS, values)
        ]
