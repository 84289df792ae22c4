"""What a user has used of the plan, and what is left."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from domain.plans import PlanLimits, Plans, Usage
from domain.text import JSON
from infrastructure.database.access.usage import KEPT_MONTHS, MonthUsage, UsageRepository, count_to
from worker.client.connections import Connections


@dataclass(frozen=True, slots=True, kw_only=True)
class UserUsage:
    """A user's plan, and what is used of it."""

    limits: PlanLimits
    """With the name of the tier."""
    usage: Usage
    months: Sequence[MonthUsage]
    """The months that are kept, newest first; without those in which nothing was done."""

    def to_json(self) -> dict[str, JSON]:
        """Return the plan and its use as JSON."""
        usage = self.usage
        return {
            "tier": str(self.limits.tier),
            "month": usage.month,
            "limits": self.limits.to_json(),
            "used": {
                "analyses_per_month": usage.analyses,
                "reports_per_month": usage.reports,
                "unfinished_jobs": usage.unfinished,
                "jobs_per_day": usage.today,
                "repositories": usage.repositories,
            },
            "month_ends_at": usage.month_ends.isoformat(),
            "day_ends_at": usage.day_ends.isoformat(),
            "months": [
                {
                    "month": each.month,
                    "analyses": each.analyses,
                    "reports": each.reports,
                    "repositories": each.repositories,
                }
                for each in self.months
            ],
        }


class UsageClient:
    """Plans of users, and what is used of them."""

    def __init__(self, connections: Connections, plans: Plans) -> None:
        self._database, self._plans = connections.database, plans

    async def get(self, user_id: UUID) -> UserUsage:
        """Return the user's plan, what is used of it, and the last KEPT_MONTHS months. Raises NotFoundError.

        Unfinished jobs are counted up to 1,000, or up to one more than their limit.
        """
        async with self._database.unit_of_work() as work:
            usage = UsageRepository(work)
            limits = self._plans.of(await usage.tier(user_id))
            return UserUsage(
                limits=limits,
                usage=await usage.usage(user_id, count_to=count_to(limits)),
                months=await usage.months(user_id, KEPT_MONTHS),
            )


async def free_places(work: AsyncConnection, user_id: UUID, plans: Plans) -> int | None:
    """Return how many more unfinished jobs the user may have, under the user's lock; None is unlimited.

    Raises NotFoundError.
    """
    usage = UsageRepository(work)
    limits = plans.of(await usage.lock_user(user_id))
    if limits.unfinished_jobs is None:
        return None
    used = await usage.usage(user_id, count_to=limits.unfinished_jobs)
    return max(0, limits.unfinished_jobs - used.unfinished)


async def require_room(work: AsyncConnection, user_id: UUID, plans: Plans) -> None:
    """Take the user's lock. Raises LimitExceededError if the user may have no more unfinished jobs, NotFoundError."""
    usage = UsageRepository(work)
    limits = plans.of(await usage.lock_user(user_id))
    if limits.unfinished_jobs is not None:
        limits.check_unfinished(await usage.usage(user_id, count_to=count_to(limits)))
