"""What the API says of itself: the codes of its problems. Needs no key."""

from dataclasses import asdict

from fastapi import APIRouter
from starlette.responses import Response

from worker.http.api.answers import json_response
from worker.http.api.paths import API_PREFIX
from worker.http.problems import PROBLEMS

router = APIRouter(prefix=API_PREFIX, tags=["service"])


@router.get("/problems")
async def list_problems() -> Response:
    """List the codes of the problems that answers may have."""
    return json_response({"problems": [asdict(problem) for problem in PROBLEMS]})
