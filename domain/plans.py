"""Plans: what the users of each tier may do in a month (UTC), in a day, and at a time.

None as a limit means unlimited, 0 nothing at all.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Self

from domain.errors import InvalidInputError, LimitExceededError
from domain.text import JSON

MAX_LIMIT = 1_000_000_000
"""Largest limit that a plan may name. More means unlimited: null."""

MAX_UPLOAD_MB = 256
"""Largest upload of any plan: one SQL statement carries it."""

MAX_TEXT = 10_000
MONTH_FORMAT = "%Y-%m"


class Tier(StrEnum):
    """The plan of a user. The names are stored."""

    FREE = "free"
    PRO = "pro"
    TEAM = "team"
    ENTERPRISE = "enterprise"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How much a user has done: this month and today (UTC), deleted jobs included, and at the moment."""

    unfinished: int
    today: int
    analyses: int = 0
    reports: int = 0
    repositories: int = 0
    """The highest number of tracked repositories of this month."""
    now: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    """The database's time of these numbers."""

    @property
    def month(self) -> str:
        """The month, such as `2026-12`."""
        return self.now.astimezone(UTC).strftime(MONTH_FORMAT)

    @property
    def month_ends(self) -> datetime:
        """When the numbers of the month begin again at 0: the first day of the next month, 00:00 UTC."""
        first = self.now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return (first + timedelta(days=32)).replace(day=1)

    @property
    def day_ends(self) -> datetime:
        """When the number of the day begins again at 0: the next 00:00 UTC."""
        return self.now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLimits:
    """What the users of one tier may do. None is unlimited, 0 nothing at all."""

    tier: str = Tier.FREE
    analyses_per_month: int | None = None
    """Submitted jobs of a month (UTC)."""
    reports_per_month: int | None = None
    """Shared reports of a month (UTC)."""
    unfinished_jobs: int | None = None
    """Pending and running jobs at a time."""
    jobs_per_day: int | None = None
    """Submitted jobs of a day (UTC)."""
    repositories: int | None = None
    """Tracked repositories at a time."""
    upload_mb: int | None = None
    """Size of one upload in MB (powers of 1024), before base64. None is MAX_UPLOAD_MB."""

    @property
    def upload_bytes(self) -> int:
        """Size of one upload in bytes."""
        return (MAX_UPLOAD_MB if self.upload_mb is None else self.upload_mb) * 1024 * 1024

    def to_json(self) -> dict[str, JSON]:
        """Return the limits by their names in `TIER_LIMITS`."""
        return {name: getattr(self, name) for name in LIMIT_NAMES}

    def check_submission(self, usage: Usage, new: int = 1) -> None:
        """Raise LimitExceededError if `new` more submissions would pass a limit."""
        self.check_unfinished(usage, new)
        if _passes(usage.today, new, self.jobs_per_day):
            raise LimitExceededError(
                f"you have submitted {usage.today} jobs today{self._limit(self.jobs_per_day, new)}; "
                + _advice(self.jobs_per_day, new, f"try again after {_moment(usage.day_ends)}"),
                used=usage.today,
                limit=self.jobs_per_day,
                resets_at=usage.day_ends,
            )
        if _passes(usage.analyses, new, self.analyses_per_month):
            raise self._month_used("analyses", usage.analyses, self.analyses_per_month, usage, new)

    def check_unfinished(self, usage: Usage, new: int = 1) -> None:
        """Raise LimitExceededError if `new` more unfinished jobs would pass the limit."""
        if _passes(usage.unfinished, new, self.unfinished_jobs):
            raise LimitExceededError(
                f"you already have {usage.unfinished} unfinished jobs{self._limit(self.unfinished_jobs, new)}; "
                + _advice(self.unfinished_jobs, new, "wait for one to finish or cancel one"),
                used=usage.unfinished,
                limit=self.unfinished_jobs,
            )

    def check_report(self, usage: Usage) -> None:
        """Raise LimitExceededError if one more report would pass the limit."""
        if _passes(usage.reports, 1, self.reports_per_month):
            raise self._month_used("reports", usage.reports, self.reports_per_month, usage, 1)

    def check_repositories(self, tracked: int) -> None:
        """Raise LimitExceededError if one more tracked repository than `tracked` would pass the limit."""
        if _passes(tracked, 1, self.repositories):
            raise LimitExceededError(
                f"you already track {tracked} repositories{self._limit(self.repositories, 1)}; remove one first",
                used=tracked,
                limit=self.repositories,
            )

    def _limit(self, limit: int | None, new: int) -> str:
        return f" (limit {limit}, plan {self.tier})" + (f" and want {new} more" if new > 1 else "")

    def _month_used(self, what: str, used: int, limit: int | None, usage: Usage, new: int) -> LimitExceededError:
        return LimitExceededError(
            f"you have used {used} {what} this month{self._limit(limit, new)}; "
            + _advice(limit, new, f"try again after {_moment(usage.month_ends)}"),
            used=used,
            limit=limit,
            resets_at=usage.month_ends,
        )


def _advice(limit: int | None, new: int, wait: str) -> str:
    """Return what to do about a refusal: `wait`, unless so many at once never fit the limit."""
    if limit is None or new <= limit:
        return wait
    at_most = f"submit at most {limit} at once, or " if limit else ""
    return f"waiting does not help: {at_most}ask an operator for a higher limit or another plan"


LIMIT_NAMES = tuple(field.name for field in fields(PlanLimits) if field.name != "tier")


@dataclass(frozen=True, slots=True)
class Plans:
    """The limits of all tiers."""

    limits: Mapping[str, PlanLimits]

    def of(self, tier: str) -> PlanLimits:
        """Return the limits of a tier. One that a newer release has made has those of `free`."""
        return self.limits.get(tier) or replace(self.limits[Tier.FREE], tier=tier)

    @property
    def upload_bytes(self) -> int:
        """The largest upload of any tier, in bytes."""
        return max(limits.upload_bytes for limits in self.limits.values())

    @classmethod
    def same(cls, limits: PlanLimits) -> Self:
        """Return plans that are the same for all tiers."""
        return cls({tier: replace(limits, tier=tier) for tier in Tier})


def default_plans(*, unfinished_jobs: int, jobs_per_day: int, upload_mb: int) -> Plans:
    """Return the plans of this program. The arguments are the limits of `free`; no other tier has lower ones."""
    free = PlanLimits(
        reports_per_month=100,
        unfinished_jobs=unfinished_jobs,
        jobs_per_day=jobs_per_day,
        repositories=100,
        upload_mb=upload_mb,
    )

    def larger(tier: Tier, factor: int) -> PlanLimits:
        names = ("reports_per_month", "unfinished_jobs", "jobs_per_day", "repositories")
        return replace(free, tier=tier, **{name: factor * getattr(free, name) for name in names})

    unlimited = PlanLimits(tier=Tier.ENTERPRISE, upload_mb=upload_mb)
    return Plans(
        {
            Tier.FREE: free,
            Tier.PRO: larger(Tier.PRO, 4),
            Tier.TEAM: larger(Tier.TEAM, 20),
            Tier.ENTERPRISE: unlimited,
        }
    )


def parse_plans(text: str, defaults: Plans) -> Plans:
    """Return the defaults with what a JSON object `{tier: {limit: number or null}}` changes.

    Raises InvalidInputError in one line for another form, an unknown tier or limit, and a number out of range. The line
    repeats no part of the text.
    """
    changes = _object(_parse(text), "the value")
    if changes.keys() - set(Tier):
        raise InvalidInputError(f"it has an unknown tier; they are {', '.join(Tier)}")
    changed: dict[str, PlanLimits] = {
        tier: _changed(defaults.of(tier), _object(changes.get(tier, {}), tier)) for tier in Tier
    }
    return Plans(changed)


def _parse(text: str) -> JSON:
    if len(text) > MAX_TEXT:
        raise InvalidInputError(f"it has more than {MAX_TEXT} characters")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInputError('it is not JSON; it must look like {"pro": {"jobs_per_day": 500}}') from None


def _object(value: JSON, what: str) -> Mapping[str, JSON]:
    if not isinstance(value, dict):
        raise InvalidInputError(f"{what} must be a JSON object")
    return value


def _changed(limits: PlanLimits, changes: Mapping[str, JSON]) -> PlanLimits:
    for name, value in changes.items():
        if name not in LIMIT_NAMES:
            raise InvalidInputError(f"{limits.tier} has an unknown limit; they are {', '.join(LIMIT_NAMES)}")
        least, most = (1, MAX_UPLOAD_MB) if name == "upload_mb" else (0, MAX_LIMIT)
        if value is not None and (type(value) is not int or not least <= value <= most):
            raise InvalidInputError(f"{limits.tier}.{name} must be {least} to {most}, or null for unlimited")
    return replace(limits, **changes)


def _passes(used: int, new: int, limit: int | None) -> bool:
    return limit is not None and used + new > limit


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
