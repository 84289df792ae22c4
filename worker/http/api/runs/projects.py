"""Projects: the trends of their numbers."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from worker.client import trend_to_json
from worker.http.api.answers import json_response
from worker.http.api.paths import API_PREFIX
from worker.http.caller import Reader

router = APIRouter(prefix=f"{API_PREFIX}/projects", tags=["projects"])

MAX_NAME = 2_000


@router.get("/{name:path}/trend")
async def get_trend(
    caller: Reader,
    name: Annotated[str, Path(min_length=1, max_length=MAX_NAME, description="Its URL, name or file name, or a run.")],
    branch: Annotated[
        str | None, Query(max_length=MAX_NAME, description="A branch; without: the default one, else the newest run's.")
    ] = None,
) -> Response:
    """Return the trends of a project's numbers over its comparable runs of one branch."""
    return json_response(trend_to_json(await caller.client.trend(caller.user_id, name, branch)))
