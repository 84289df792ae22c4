"""Checks of tracked repositories: which are due, who is at one, and what it found. All times are the database's.

A worker that claims a check moves `check_lease_until` and commits. The new value of that column is the claim's fence:
whatever the worker writes later is written only while it stands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.text import JSON, one_line
from domain.tracking.repository import TrackedRepository
from infrastructure.database.tracking.mapping import REPOSITORY_COLUMNS, repository_from_row

_FREE = "(check_lease_until IS NULL OR check_lease_until < statement_timestamp())"

# Each half reads its partial index from the front. Rows that another worker is at stay there, and are few.
_CLAIM = text(f"""
    WITH asked AS MATERIALIZED (
        SELECT id FROM repositories
        WHERE check_requested_at IS NOT NULL AND check_requested_at <= statement_timestamp() AND {_FREE}
        ORDER BY check_requested_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
    ), due AS MATERIALIZED (
        SELECT id FROM repositories
        WHERE schedule IS NOT NULL AND next_check_at <= statement_timestamp() AND {_FREE}
            AND (check_requested_at IS NULL OR check_requested_at > statement_timestamp())
        ORDER BY next_check_at
        LIMIT CASE WHEN CAST(:scheduled AS boolean) THEN CAST(:limit AS bigint) - (SELECT count(*) FROM asked)
            ELSE 0 END
        FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE repositories AS repository
    SET check_lease_until = statement_timestamp() + make_interval(secs => :lease)
    FROM (SELECT id FROM asked UNION ALL SELECT id FROM due) AS chosen
    WHERE repository.id = chosen.id
    RETURNING {REPOSITORY_COLUMNS}, repository.token AS encrypted_token, repository.check_requested_at,
        repository.check_lease_until, repository.refusals, statement_timestamp() AS claimed_at
""")  # nosec B608 # noqa: S608 - no input in it

_HELD = "id = :id AND check_lease_until = :lease_until"

# What the owner asked for or changed since the claim stays: the check may not have seen it.
_RELEASE = """
    check_lease_until = NULL, last_checked_at = statement_timestamp(), updated_at = statement_timestamp(),
    next_check_at = CASE WHEN next_check_at IS NOT DISTINCT FROM CAST(:due_at AS timestamptz)
        THEN CAST(:next AS timestamptz) ELSE next_check_at END,
    check_requested_at = CASE WHEN check_requested_at IS NOT DISTINCT FROM CAST(:requested_at AS timestamptz)
        THEN CAST(:again AS timestamptz) ELSE check_requested_at END
"""
_ADVANCE = text(f"""
    UPDATE repositories
    SET heads = heads || jsonb_build_object(CAST(:branch AS text), CAST(:commit AS text)), last_error = NULL,
        analysis_status = 'in_progress', updated_at = statement_timestamp()
    WHERE {_HELD}
""")  # nosec B608 # noqa: S608 - no input in it

UNFINISHED_JOB = """
    EXISTS (SELECT 1 FROM jobs WHERE jobs.user_id = repositories.owner_id AND jobs.status IN ('pending', 'running')
        AND jobs.options ->> 'repository_id' = CAST(repositories.id AS text))
"""
"""SQL of whether an analysis of the repository has not ended; an owner has few jobs that have not."""

_SUCCEED = text(f"""
    UPDATE repositories
    SET {_RELEASE}, default_branch = coalesce(:default_branch, default_branch), failures = 0, refusals = 0,
        last_error = CASE WHEN failures > 0 OR refusals > 0 THEN NULL ELSE last_error END,
        analysis_status = CASE WHEN failures = 0 THEN analysis_status WHEN {UNFINISHED_JOB} THEN 'in_progress'
            WHEN last_analyzed IS NULL THEN 'pending' ELSE 'completed' END
    WHERE {_HELD}
""")  # nosec B608 # noqa: S608 - no input in it
_REFUSE = text(f"""
    UPDATE repositories SET {_RELEASE}, failures = 0, refusals = refusals + 1, last_error = :error WHERE {_HELD}
""")  # nosec B608 # noqa: S608 - no input in it
_FAIL = text(f"""
    UPDATE repositories
    SET {_RELEASE}, default_branch = coalesce(:default_branch, default_branch), failures = failures + 1, refusals = 0,
        last_error = :error, analysis_status = 'failed'
    WHERE {_HELD}
""")  # nosec B608 # noqa: S608 - no input in it
_ABANDON = text(f"UPDATE repositories SET check_lease_until = NULL WHERE {_HELD}")  # nosec B608 # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckClaim:
    """A repository whose check this worker has claimed at `claimed_at`, until `lease_until`."""

    repository: TrackedRepository
    claimed_at: datetime
    lease_until: datetime
    requested_at: datetime | None
    """When its owner or its host asked for the check, None for one that only the schedule wants."""
    refusals: int
    """How often in a row a limit of the owner has refused an analysis."""
    encrypted_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NextCheck:
    """When the repository is to be checked again: by its schedule, and once more without regard to one."""

    scheduled: datetime | None
    again: datetime | None = None


class CheckRepository:
    """The columns of `repositories` that say when a check is due, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def claim(self, limit: int, *, lease_seconds: float, scheduled: bool) -> list[CheckClaim]:
        """Claim up to `limit` checks that are due: those that were asked for, then, if `scheduled`, those by schedule.

        Of each kind the one that is due for longest comes first. Two concurrent claims never get the same one.
        """
        values = {"limit": limit, "lease": lease_seconds, "scheduled": scheduled}
        rows = (await self._connection.execute(_CLAIM, values)).mappings()
        return [
            CheckClaim(
                repository=repository_from_row(row),
                claimed_at=row["claimed_at"],
                lease_until=row["check_lease_until"],
                requested_at=row["check_requested_at"],
                refusals=row["refusals"],
                encrypted_token=row["encrypted_token"],
            )
            for row in rows
        ]

    async def advance(self, claim: CheckClaim, branch: str, commit: str) -> bool:
        """Store the head of a branch whose analysis is submitted in this unit of work. False: the claim is lost."""
        return await self._write(_ADVANCE, claim, branch=branch, commit=commit)

    async def succeed(self, claim: CheckClaim, next_check: NextCheck, default_branch: str | None) -> bool:
        """Release the claim: all branches were there, and each that moved has its job."""
        return await self._release(_SUCCEED, claim, next_check, default_branch=default_branch)

    async def refuse(self, claim: CheckClaim, next_check: NextCheck, error: str) -> bool:
        """Release the claim: a limit of the owner has refused an analysis, and the head of its branch stays."""
        return await self._release(_REFUSE, claim, next_check, error=one_line(error))

    async def fail(self, claim: CheckClaim, next_check: NextCheck, error: str, default_branch: str | None) -> bool:
        """Release the claim: the check failed."""
        return await self._release(_FAIL, claim, next_check, error=one_line(error), default_branch=default_branch)

    async def abandon(self, claim: CheckClaim) -> bool:
        """Release the claim without a result, for another worker to take it at once."""
        return await self._write(_ABANDON, claim)

    async def _release(self, statement: TextClause, claim: CheckClaim, next_check: NextCheck, **more: JSON) -> bool:
        times = {
            "due_at": claim.repository.next_check_at,
            "requested_at": claim.requested_at,
            "next": next_check.scheduled,
            "again": next_check.again,
        }
        return await self._write(statement, claim, **times, **more)

    async def _write(self, statement: TextClause, claim: CheckClaim, **values: JSON) -> bool:
        fence: Mapping[str, UUID | datetime] = {
            "id": claim.repository.repository_id,
            "lease_until": claim.lease_until,
        }
        return (await self._connection.execute(statement, {**fence, **values})).rowcount > 0
