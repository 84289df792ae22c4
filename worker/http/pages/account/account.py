"""The page of an account, and its acts: make and revoke an API key, sign out everywhere."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import PermissionDeniedError
from domain.keys import DEFAULT_RATE_LIMIT, USER_PERMISSIONS, CreatedKey, Permission
from worker.export.html.values import line
from worker.http.api.paths import parse_id
from worker.http.caller import Caller
from worker.http.pages.account.values import key_row, month_rows, usage_rows
from worker.http.pages.layout.forms import REFUSALS, form_page, number_field, read_fields, shown_again
from worker.http.pages.layout.rendering import see_other
from worker.http.pages.layout.visitor import Managing, Reading, delete_cookie

router = APIRouter(include_in_schema=False, prefix="/account")

GRANTED = [permission for permission in Permission if permission in USER_PERMISSIONS]
KEY_FIELDS = frozenset({"name", "days", "rate_limit", *(f"may_{permission}" for permission in GRANTED)})
FIRST = {"name": "", "days": "90", "rate_limit": str(DEFAULT_RATE_LIMIT), "may_read": "yes", "may_submit": "yes"}
"""What the form of a new key has before anything was entered."""

MAX_DAYS = 3_650


@router.get("")
async def show_account(request: Request, visitor: Reading) -> Response:
    """Show the visitor's plan, what is used of it, and the API keys."""
    return await _page(request, visitor)


@router.post("/keys")
async def create_key(request: Request, visitor: Managing) -> Response:
    """Make a key, and show its text this once. A form that is refused is shown with what it had."""
    fields = await read_fields(request, KEY_FIELDS)
    try:
        days = number_field(fields.get("days", ""), "days", MAX_DAYS)
        permissions = {permission for permission in GRANTED if f"may_{permission}" in fields}
        if missing := permissions - visitor.identity.permissions:
            raise PermissionDeniedError(
                f"you are signed in without the permission {', '.join(sorted(missing))}; a key allows no more than that"
            )
        created = await visitor.client.keys.create(
            visitor.user_id,
            name=fields.get("name", "").strip(),
            permissions=permissions,
            rate_limit=_rate_limit(fields.get("rate_limit", "")),
            expires_at=None if days is None else datetime.now(UTC) + timedelta(days=days),
        )
    except REFUSALS as error:
        return await _page(request, visitor, refused=error, entered=fields)
    return await _page(request, visitor, created=created)


def _rate_limit(text: str) -> int:
    return number_field(text, "requests an hour", DEFAULT_RATE_LIMIT) or DEFAULT_RATE_LIMIT


@router.post("/keys/{key_id}/revoke")
async def revoke_key(request: Request, visitor: Managing, key_id: str) -> Response:
    """Make a key unusable from now on; sessions that were begun with it end."""
    await read_fields(request, ())
    await visitor.client.keys.revoke(visitor.user_id, parse_id(key_id))
    return see_other(request, "/account")


@router.post("/sign-out")
async def sign_out_everywhere(request: Request, visitor: Managing) -> Response:
    """End all sessions of the visitor, this one too."""
    await read_fields(request, ())
    await visitor.client.sessions.end_all(visitor.user_id)
    return delete_cookie(request, see_other(request, "/sign-in"))


async def _page(
    request: Request,
    visitor: Caller,
    *,
    refused: Exception | None = None,
    entered: Mapping[str, str] | None = None,
    created: CreatedKey | None = None,
) -> Response:
    usage = await visitor.client.usage.get(visitor.user_id)
    keys = await visitor.client.keys.list(visitor.user_id)
    now = datetime.now(UTC)
    return form_page(
        request,
        "account.html",
        refused,
        visitor=visitor,
        tier=line(str(usage.limits.tier), 40),
        usage=usage_rows(usage),
        months=month_rows(usage),
        keys=[key_row(each, now) for each in keys],
        created=created,
        granted=[(str(each), each in visitor.identity.permissions) for each in GRANTED],
        most_requests=f"{DEFAULT_RATE_LIMIT:,}",
        entered=dict.fromkeys(KEY_FIELDS, "") | (FIRST if entered is None else shown_again(entered)),
        may_manage=Permission.MANAGE in visitor.identity.permissions,
    )
