"""Webhook deliveries of all users for operators: what became of them, and sending one again."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from domain.webhooks import DeliveryCursor, DeliveryState
from worker.client.operators.webhooks import owned_delivery_to_json
from worker.http.api.answers import json_response, read_cursor, write_cursor
from worker.http.api.paths import API_PREFIX, Cursor, Limit, parse_id
from worker.http.caller import Operator

router = APIRouter(prefix=f"{API_PREFIX}/ops/webhooks", tags=["operations"])

State = Annotated[DeliveryState | None, Query(description="`waiting` or `given up`; those that have ended without it.")]


@router.get("")
async def list_all_webhooks(
    operator: Operator, state: State = None, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List webhook deliveries: waiting ones by when they are due, others newest first.

    Those that were delivered are listed with those that were given up. URLs may hold secrets: their hosts are shown.
    """
    found = await operator.webhooks.list_page(
        state, limit=limit + 1, after=None if cursor is None else read_delivery_cursor(cursor)
    )
    page = found[:limit]
    following = write_delivery_cursor(page[-1][1].cursor) if len(found) > limit else None
    return json_response({"webhooks": [owned_delivery_to_json(each) for each in page], "next": following})


@router.post("/{notice_id}/resend", status_code=202)
async def resend_webhook(
    operator: Operator, notice_id: Annotated[str, Path(max_length=200, description="The id of a delivery.")]
) -> Response:
    """Send a webhook again within seconds, also one that has arrived. Its id stays, so its receiver can tell."""
    return json_response(owned_delivery_to_json(await operator.webhooks.resend(parse_id(notice_id))), 202)


def write_delivery_cursor(cursor: DeliveryCursor) -> str:
    """Return the text that stands for a place in a list of deliveries."""
    return write_cursor(cursor.at, str(cursor.delivery_id))


def read_delivery_cursor(text: str) -> DeliveryCursor:
    """Return that place. Raises InvalidInputError, NotFoundError for a text that no answer has contained."""
    at, delivery_id = read_cursor(text)
    return DeliveryCursor(at=at, delivery_id=parse_id(delivery_id))
