"""The caller's plan: its limits, and what is used of them."""

from fastapi import APIRouter
from starlette.responses import Response

from worker.http.api.answers import json_response
from worker.http.api.paths import API_PREFIX
from worker.http.caller import Reader

router = APIRouter(prefix=f"{API_PREFIX}/usage", tags=["usage"])


@router.get("")
async def get_usage(caller: Reader) -> Response:
    """Return your plan with its limits (null: unlimited), what is used, and when it is renewed."""
    return json_response((await caller.client.usage.get(caller.user_id)).to_json())
