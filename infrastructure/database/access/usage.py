"""What users have used of their plans: months, days, unfinished jobs; tiers; refunds. Times are the database's, in UTC.

Whatever is counted is counted under the lock of the user's row, in the transaction of what it counts, by a statement
that counts nothing where a limit would be passed. A refund takes the row of its month alone.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.audit import Action, Actor, Resource
from domain.errors import LimitExceededError, NotFoundError
from domain.jobs import UNFINISHED_STATUSES
from domain.plans import PlanLimits, Tier, Usage
from infrastructure.database.access.audit_statements import actor_values, insert_entries

KEPT_MONTHS = 24
"""Months whose use is kept, with the current one. Cleanup deletes older rows."""

MOST_COUNTED = 1_000
"""Unfinished jobs are counted up to this number, or up to one more than their limit."""

# FOR UPDATE would also block the inserts of runs and jobs that refer to the user.
_LOCK_USER = text("SELECT tier FROM users WHERE id = :user_id FOR NO KEY UPDATE")
_TIER = text("SELECT tier FROM users WHERE id = :user_id")


def month_of(moment: str) -> str:
    """Return the SQL of the month of a moment's SQL, as the table's column has it."""
    return f"CAST(to_char({moment} AT TIME ZONE 'UTC', 'YYYY-MM') AS char(7))"


TODAY = "(statement_timestamp() AT TIME ZONE 'UTC')::date"
THIS_MONTH = month_of("now()")
"""The month in which the transaction began, as the creation of its jobs."""

_UNFINISHED = "('{}', '{}')".format(*UNFINISHED_STATUSES)


def _unfinished(most: str) -> str:
    """Return the SQL of the number of the user's unfinished jobs, counted up to `most`."""
    return f"""
        (SELECT count(*) FROM (
            SELECT 1 FROM jobs WHERE user_id = :user_id AND status IN {_UNFINISHED} LIMIT {most}
        ) AS unfinished)
    """  # nosec B608 # noqa: S608 - no input in it


_TODAYS_JOBS = f"coalesce((SELECT submitted FROM daily_usage WHERE user_id = :user_id AND day = {TODAY}), 0)"  # nosec B608 # noqa: S608 - no input in it
_USAGE = text(f"""
    SELECT {_unfinished("CAST(:count_to AS bigint)")} AS unfinished, {_TODAYS_JOBS} AS today,
        coalesce(month.analyses_count, 0) AS analyses, coalesce(month.reports_count, 0) AS reports,
        coalesce(month.repositories_count, 0) AS repositories, now() AS now
    FROM (SELECT 1) AS one LEFT JOIN usage_tracking AS month
        ON month.user_id = :user_id AND month.month_year = {THIS_MONTH}
""")  # nosec B608 # noqa: S608 - no input in it
_MONTHS = text("""
    SELECT month_year, analyses_count, reports_count, repositories_count FROM usage_tracking
    WHERE user_id = :user_id ORDER BY month_year DESC LIMIT :limit
""")


_COUNT = "CAST(:count AS int)"


def _allows(limit: str, used: str) -> str:
    """Return the SQL of the condition that a number is within a limit; null is unlimited."""
    return f"(CAST(:{limit} AS bigint) IS NULL OR {used} <= CAST(:{limit} AS bigint))"


def _count_up(column: str, limit: str, *conditions: str) -> str:
    """Return the SQL that counts `:count` more in a column of this month, and returns a row if all conditions hold.

    The first row of a month is inserted only if the limit allows it, and a later count only if the sum does: a plain
    conditional UPDATE would miss the first row, and a plain upsert would let a limit of 0 pass once.
    """
    total = f"used.{column} + excluded.{column}"
    return f"""
        INSERT INTO usage_tracking AS used (user_id, month_year, {column})
        SELECT CAST(:user_id AS uuid), {THIS_MONTH}, {_COUNT}
        WHERE {" AND ".join((_allows(limit, _COUNT), *conditions))}
        ON CONFLICT (user_id, month_year) DO UPDATE SET {column} = {total}, updated_at = statement_timestamp()
        WHERE {_allows(limit, total)}
        RETURNING id
    """  # nosec B608 # no input in it


_COUNT_ANALYSES = _count_up(
    "analyses_count",
    "analyses_per_month",
    _allows("unfinished_jobs", f"{_unfinished('coalesce(CAST(:unfinished_jobs AS bigint), 0)')} + {_COUNT}"),
    _allows("jobs_per_day", f"{_TODAYS_JOBS} + {_COUNT}"),
)
COUNT_JOBS = f"""
    month AS ({_COUNT_ANALYSES}), counted AS (
        INSERT INTO daily_usage AS usage (user_id, day, submitted)
        SELECT CAST(:user_id AS uuid), {TODAY}, {_COUNT} FROM month
        ON CONFLICT (user_id, day) DO UPDATE SET submitted = usage.submitted + excluded.submitted
        RETURNING user_id
    )
"""  # nosec B608 # noqa: S608 - no input in it
"""CTEs that count `:count` submissions of the user `:user_id`. `counted` has a row if all limits allow them.

Else nothing is counted. They need the values of `limit_values`.
"""

_COUNT_REPORT = text(_count_up("reports_count", "reports_per_month"))
_TRACK = text(f"""
    INSERT INTO usage_tracking AS used (user_id, month_year, repositories_count)
    VALUES (:user_id, {THIS_MONTH}, :tracked)
    ON CONFLICT (user_id, month_year) DO UPDATE
    SET repositories_count = excluded.repositories_count, updated_at = statement_timestamp()
    WHERE used.repositories_count < excluded.repositories_count
""")  # nosec B608 # noqa: S608 - no input in it

_CHANGED_TIER = insert_entries(
    "changed",
    Action.SET_TIER,
    Resource.USER,
    user="id",
    resource="CAST(id AS text)",
    details="jsonb_build_object('from', before, 'to', tier)",
)
_SET_TIER = text(f"""
    WITH found AS MATERIALIZED (
        SELECT id, tier FROM users WHERE id = :user_id FOR NO KEY UPDATE
    ), changed AS (
        UPDATE users SET tier = :tier FROM found WHERE users.id = found.id AND found.tier <> :tier
        RETURNING users.id, users.tier, found.tier AS before
    ), logged AS ({_CHANGED_TIER})
    SELECT tier FROM found
""")  # nosec B608 # noqa: S608 - no input in it


REFUNDED_NOW = "jobs.created_at, coalesce(jobs.refunded_at = statement_timestamp(), false) AS refunded"
"""What an update of jobs returns for `refund`, beside `user_id`. No earlier statement had this time."""


def refund(source: str) -> str:
    """Return the CTEs that give an analysis back for each row of `source` whose column `refunded` is true.

    `source` also has `user_id` and `created_at` of the jobs. The rows of the months are locked in their order.
    """
    return f"""
        owed AS MATERIALIZED (
            SELECT user_id, {month_of("created_at")} AS month_year, count(*) AS jobs
            FROM {source} WHERE refunded GROUP BY 1, 2 ORDER BY 1, 2
        ), repaid_months AS MATERIALIZED (
            SELECT month.id, owed.jobs FROM owed CROSS JOIN LATERAL (
                SELECT id FROM usage_tracking
                WHERE user_id = owed.user_id AND month_year = owed.month_year FOR NO KEY UPDATE
            ) AS month
        ), repaid AS (
            UPDATE usage_tracking
            SET analyses_count = greatest(analyses_count - repaid_months.jobs, 0), updated_at = statement_timestamp()
            FROM repaid_months WHERE usage_tracking.id = repaid_months.id
        )
    """  # nosec B608 # noqa: S608 - no input in it


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthUsage:
    """What a user has used of one month, such as `2026-12`."""

    month: str
    analyses: int
    reports: int
    repositories: int


class UsageRepository:
    """The tables `usage_tracking` and `daily_usage`, and the tiers of users, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lock_user(self, user_id: UUID) -> str:
        """Hold the user's lock until the unit of work ends, and return the user's tier. Raises NotFoundError."""
        return _required(await self._connection.scalar(_LOCK_USER, {"user_id": user_id}))

    async def tier(self, user_id: UUID) -> str:
        """Return the user's tier. Raises NotFoundError."""
        return _required(await self._connection.scalar(_TIER, {"user_id": user_id}))

    async def usage(self, user_id: UUID, *, count_to: int | None = None) -> Usage:
        """Return what the limits apply to. Unfinished jobs are counted up to `count_to`."""
        values = {"user_id": user_id, "count_to": count_to}
        return Usage(**(await self._connection.execute(_USAGE, values)).mappings().one())

    async def months(self, user_id: UUID, limit: int) -> list[MonthUsage]:
        """Return the newest `limit` months in which the user did something, newest first."""
        rows = await self._connection.execute(_MONTHS, {"user_id": user_id, "limit": limit})
        return [
            MonthUsage(
                month=row.month_year,
                analyses=row.analyses_count,
                reports=row.reports_count,
                repositories=row.repositories_count,
            )
            for row in rows
        ]

    async def count_report(self, user_id: UUID, limits: PlanLimits) -> None:
        """Count a report that the same transaction makes, after `lock_user`. Raises LimitExceededError."""
        values = {"user_id": user_id, "count": 1, "reports_per_month": limits.reports_per_month}
        if await self._connection.scalar(_COUNT_REPORT, values) is None:
            limits.check_report(await self.usage(user_id, count_to=0))
            raise LimitExceededError("the reports of this month are used up")

    async def count_repository(self, user_id: UUID, limits: PlanLimits, *, tracked: int) -> None:
        """Check that the user may track one more repository than `tracked`, and count the month's most.

        Call it after `lock_user`, in the transaction that adds the repository. Raises LimitExceededError.
        """
        limits.check_repositories(tracked)
        await self._connection.execute(_TRACK, {"user_id": user_id, "tracked": tracked + 1})

    async def set_tier(self, user_id: UUID, tier: Tier, actor: Actor) -> str:
        """Change the user's tier, and return the one before. Raises NotFoundError."""
        values = {"user_id": user_id, "tier": tier.value, **actor_values(actor)}
        return _required(await self._connection.scalar(_SET_TIER, values))


def count_to(limits: PlanLimits) -> int:
    """Return how many unfinished jobs are counted for those who read the number; a check needs no more."""
    return max(MOST_COUNTED, (limits.unfinished_jobs or 0) + 1)


def limit_values(limits: PlanLimits) -> dict[str, int | None]:
    """Return the values that `COUNT_JOBS` needs beside the user and the number."""
    return {
        "unfinished_jobs": limits.unfinished_jobs,
        "jobs_per_day": limits.jobs_per_day,
        "analyses_per_month": limits.analyses_per_month,
    }


def _required(tier: str | None) -> str:
    if tier is None:
        raise NotFoundError("there is no such user")
    return tier
