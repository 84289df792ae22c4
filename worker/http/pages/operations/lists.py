"""`/ops/checks` and `/ops/webhooks`: whole lists, page by page."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from domain.webhooks import DeliveryState
from worker.http.api.answers import write_cursor
from worker.http.api.ops.fleet import read_check_cursor
from worker.http.api.ops.webhooks import read_delivery_cursor, write_delivery_cursor
from worker.http.api.paths import MAX_CURSOR
from worker.http.caller import operator_of
from worker.http.pages.layout.rendering import page
from worker.http.pages.layout.visitor import Operating
from worker.http.pages.operations.rows import check_row, delivery_row

router = APIRouter(include_in_schema=False, prefix="/ops")

ROWS = 50
DELIVERY_STATES = {"given up": DeliveryState.GIVEN_UP, "waiting": DeliveryState.WAITING, "ended": None}
"""By name, the states of which there are lists; those that have ended were delivered or given up."""

CursorText = Annotated[str | None, Query(max_length=MAX_CURSOR)]


@router.get("/checks")
async def show_checks(request: Request, visitor: Operating, cursor: CursorText = None) -> Response:
    """Show the checks of tracked repositories, the one that is due for longest first."""
    operator = await operator_of(request, visitor)
    after = None if cursor is None else read_check_cursor(cursor)
    found = await operator.fleet.list_checks(limit=ROWS + 1, after=after)
    last = found[ROWS - 1] if len(found) > ROWS else None
    return page(
        request,
        "operations/checks.html",
        visitor=visitor,
        checks=[check_row(check) for check in found[:ROWS]],
        following=None if last is None else urlencode({"cursor": write_cursor(last.due_at, str(last.repository_id))}),
    )


@router.get("/webhooks")
async def show_webhooks(
    request: Request,
    visitor: Operating,
    state: Annotated[str, Query(max_length=20)] = "given up",
    cursor: CursorText = None,
) -> Response:
    """Show webhook deliveries in a state."""
    operator = await operator_of(request, visitor)
    chosen = state if state in DELIVERY_STATES else "given up"
    after = None if cursor is None else read_delivery_cursor(cursor)
    found = await operator.webhooks.list_page(DELIVERY_STATES[chosen], limit=ROWS + 1, after=after)
    last = found[ROWS - 1][1].cursor if len(found) > ROWS else None
    following = None if last is None else urlencode({"state": chosen, "cursor": write_delivery_cursor(last)})
    return page(
        request,
        "operations/webhooks.html",
        visitor=visitor,
        deliveries=[delivery_row(owned) for owned in found[:ROWS]],
        states=list(DELIVERY_STATES),
        chosen=chosen,
        following=following,
    )
