"""The audit log for operators."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from domain.audit import Action, AuditCursor
from worker.http.api.answers import json_response, read_cursor, write_cursor
from worker.http.api.ops.parameters import Since, User
from worker.http.api.paths import API_PREFIX, Cursor, Limit, parse_id
from worker.http.caller import Operator

router = APIRouter(prefix=f"{API_PREFIX}/ops", tags=["operations"])


@router.get("/audit")
async def list_audit_entries(
    operator: Operator,
    user: User = None,
    action: Annotated[Action | None, Query(description="Only entries of this action.")] = None,
    since_seconds: Since = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List who did what, newest first."""
    after = None if cursor is None else _audit_cursor(cursor)
    found = await operator.list_audit_entries(
        user_id=None if user is None else await operator.find_user(user),
        action=action,
        since=None if since_seconds is None else datetime.now(UTC) - timedelta(seconds=since_seconds),
        limit=limit + 1,
        after=after,
    )
    page = found[:limit]
    following = write_cursor(page[-1].created_at, str(page[-1].entry_id)) if len(found) > limit else None
    return json_response({"entries": [entry.to_json() for entry in page], "next": following})


def _audit_cursor(text: str) -> AuditCursor:
    created_at, entry_id = read_cursor(text)
    return AuditCursor(created_at=created_at, entry_id=parse_id(entry_id))
