"""What a user has beside jobs and runs: API keys, the plan and its use, shared reports."""

from collections.abc import Sequence
from datetime import datetime

from vibe8.models.accounts import ApiKey, CreatedKey, Report, Usage
from vibe8.protocol.endpoints import Group, Mode, call, every
from vibe8.protocol.requests import Page, Request, document, get, listing, page, segment


class Keys(Group[Mode]):
    """The caller's API keys."""

    @call
    def list(self) -> Request[Sequence[ApiKey]]:
        """Return your keys, newest first, with those that are revoked or expired."""
        return get("/keys", listing("keys", ApiKey))

    @call
    def create(
        self,
        name: str,
        permissions: Sequence[str],
        *,
        rate_limit: int | None = None,
        expires_at: datetime | None = None,
    ) -> Request[CreatedKey]:
        """Make a key; `key` of the answer is its text, which cannot be shown again.

        Permissions are `read`, `submit`, `manage` and `operate`, at most those of the key that makes it. `rate_limit`
        is in requests an hour. Raises ValueError for a time without a time zone.
        """
        wanted = {"name": name, "permissions": [*permissions], "expires_at": _moment(expires_at)}
        limited = {} if rate_limit is None else {"rate_limit": rate_limit}
        return Request(method="POST", path="/keys", parse=document(CreatedKey), json={**wanted, **limited})

    @call
    def revoke(self, key_id: str) -> Request[ApiKey]:
        """Make a key unusable from now on. It stays in the list."""
        return Request(method="DELETE", path=f"/keys/{segment(key_id)}", parse=document(ApiKey))


class UsageCalls(Group[Mode]):
    """The caller's plan."""

    @call
    def get(self) -> Request[Usage]:
        """Return your plan with its limits, what is used of them, and when it is renewed."""
        return get("/usage", document(Usage))


class Reports(Group[Mode]):
    """The caller's shared reports."""

    @call
    def share(
        self,
        run_id: str,
        *,
        password: str | None = None,
        expires_at: datetime | None = None,
        max_views: int | None = None,
    ) -> Request[Report]:
        """Share the report of a run: anyone with its code can read it, without the names of people.

        Raises ValueError for a time without a time zone.
        """
        wanted = {
            "run_id": run_id,
            "password": password,
            "expires_at": _moment(expires_at),
            "max_views": max_views,
        }
        return Request(method="POST", path="/reports", parse=document(Report), json=wanted)

    @call
    def list(self, *, limit: int | None = None, cursor: str | None = None) -> Request[Page[Report]]:
        """Return a page of your shared reports, newest first, also withdrawn ones."""
        return get("/reports", page("reports", Report), limit=limit, cursor=cursor)

    iterate = every(list)
    """Yield the reports of all pages."""

    @call
    def get(self, code: str) -> Request[Report]:
        """Return a shared report of yours: its state, and how often it was read."""
        return get(f"/reports/{segment(code)}", document(Report))

    @call
    def withdraw(self, code: str) -> Request[Report]:
        """Withdraw a shared report: its code shows nothing from now on. It stays in the list."""
        return Request(method="DELETE", path=f"/reports/{segment(code)}", parse=document(Report))


def _moment(moment: datetime | None) -> str | None:
    if moment is not None and moment.tzinfo is None:
        raise ValueError("the time needs a time zone")
    return None if moment is None else moment.isoformat()
