"""Values of an account as its page shows them."""

from datetime import datetime
from typing import Any

from domain.keys import ApiKey
from worker.client import UserUsage
from worker.export.html.values import line, moment

_KEY_STATES = {"active": "good", "revoked": "low", "expired": "low"}


def usage_rows(used: UserUsage) -> list[dict[str, str]]:
    """Return what is used of each limit, and when it is renewed."""
    usage, limits = used.usage, used.limits
    month, day = moment(usage.month_ends), moment(usage.day_ends)
    rows = [
        ("Analyses of this month", usage.analyses, limits.analyses_per_month, month),
        ("Shared reports of this month", usage.reports, limits.reports_per_month, month),
        ("Jobs of today", usage.today, limits.jobs_per_day, day),
        ("Unfinished jobs", usage.unfinished, limits.unfinished_jobs, None),
        ("Tracked repositories, the most of this month", usage.repositories, limits.repositories, None),
    ]
    shown = [
        {
            "name": name,
            "used": f"{number:,}",
            "limit": "unlimited" if limit is None else f"{limit:,}",
            "renewed": renewed or "-",
            "state": "high" if limit is not None and number >= limit else "",
        }
        for name, number, limit, renewed in rows
    ]
    size = f"{limits.upload_bytes // (1024 * 1024)} MB"
    return [*shown, {"name": "Size of one upload", "used": "-", "limit": size, "renewed": "-", "state": ""}]


def month_rows(used: UserUsage) -> list[dict[str, str]]:
    """Return the months that are kept, newest first."""
    return [
        {
            "month": each.month,
            "analyses": f"{each.analyses:,}",
            "reports": f"{each.reports:,}",
            "repositories": f"{each.repositories:,}",
        }
        for each in used.months
    ]


def key_row(key: ApiKey, now: datetime) -> dict[str, Any]:
    """Return an API key as the list shows it, without its text."""
    state = key.state(now)
    return {
        "key_id": str(key.key_id),
        "name": line(key.name, 100),
        "prefix": line(key.prefix, 20),
        "permissions": ", ".join(key.permissions),
        "rate_limit": f"{key.rate_limit:,}",
        "last_used": moment(key.last_used) or "never",
        "expires": moment(key.expires_at) or "never",
        "created": moment(key.created_at),
        "state": state,
        "chip": _KEY_STATES[state],
        "is_active": state == "active",
    }
