"""Ends of the jobs of tracked repositories: what the repository and its followers learn of each, exactly once.

A trigger on `jobs` stores each end in the transaction that ends the job. It changes no repository there: the ends of a
batch would lock repositories in an order of their own.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from infrastructure.database.tracking.checks import UNFINISHED_JOB

_TAKE = text("SELECT id, repository_id FROM tracked_job_ends ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED")

# A statement of its own: the next one then sees the jobs of every check that held the repository before.
_LOCK = text("SELECT 1 FROM repositories WHERE id = :repository_id FOR NO KEY UPDATE")

_APPLY = text(f"""
    WITH ended AS MATERIALIZED (
        DELETE FROM tracked_job_ends WHERE id = :id RETURNING *
    ), run AS MATERIALIZED (
        SELECT run.run_id, run.git_commit_sha, run.review_verdict = 'REJECTED' AS rejected, coalesce((
            SELECT earlier.review_verdict = 'REJECTED' FROM analysis_runs AS earlier
            WHERE earlier.user_id = run.user_id AND earlier.project_key = run.project_key
                AND earlier.git_branch IS NOT DISTINCT FROM run.git_branch
                AND earlier.created_at < run.created_at AND earlier.review_verdict IS NOT NULL
            ORDER BY earlier.created_at DESC LIMIT 1
        ), false) AS rejected_before
        FROM analysis_runs AS run JOIN ended ON ended.run_id = run.run_id
    ), applied AS (
        UPDATE repositories SET
            analysis_status = CASE WHEN ended.status = 'failed' OR failures > 0 THEN 'failed'
                WHEN {UNFINISHED_JOB} THEN 'in_progress' ELSE 'completed' END,
            last_error = CASE WHEN failures > 0 OR refusals > 0 THEN last_error ELSE ended.error_message END,
            last_analyzed = CASE WHEN ended.status = 'completed' THEN greatest(last_analyzed, ended.finished_at)
                ELSE last_analyzed END,
            heads = CASE WHEN heads ->> ended.branch = ended.head AND run.git_commit_sha IS NOT NULL
                THEN heads || jsonb_build_object(ended.branch, run.git_commit_sha) ELSE heads END,
            updated_at = statement_timestamp()
        FROM ended LEFT JOIN run ON true
        WHERE repositories.id = ended.repository_id AND repositories.owner_id = ended.user_id
        RETURNING repositories.id, ended.job_id, ended.status, ended.error_message, ended.run_id, ended.finished_at,
            coalesce(run.rejected <> run.rejected_before, false) AS turned
    )
    INSERT INTO notices (job_id, user_id, url, status, error_message, run_id, finished_at, repository_id)
    SELECT applied.job_id, follow.user_id, follow.notification_settings ->> 'notify_url', applied.status,
        applied.error_message, applied.run_id, applied.finished_at, applied.id
    FROM applied JOIN user_repository_follows AS follow ON follow.repository_id = applied.id
    WHERE follow.notification_settings ->> 'notify_url' IS NOT NULL
        AND (follow.notification_settings ->> 'when' = 'end'
            OR follow.notification_settings ->> 'when' = 'gate' AND applied.turned)
""")  # nosec B608 # noqa: S608 - no input in it


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedEnd:
    """The end of a job that was applied to its repository, and how many followers are told."""

    repository_id: UUID
    told: int


class RunEndRepository:
    """The table `tracked_job_ends`, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def apply_next(self) -> AppliedEnd | None:
        """Apply the oldest end that no other transaction holds. Returns None if there is none.

        The repository's status, time and error change, and its head becomes the commit that the run has, unless the
        branch has moved again since. The gate turns where it rejects the run and not the branch's one before, or the
        other way round; a run without a baseline is not rejected.
        """
        row = (await self._connection.execute(_TAKE)).one_or_none()
        if row is None:
            return None
        await self._connection.execute(_LOCK, {"repository_id": row.repository_id})
        told = (await self._connection.execute(_APPLY, {"id": row.id})).rowcount
        return AppliedEnd(repository_id=row.repository_id, told=told)
