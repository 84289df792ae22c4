"""What the API says of itself: its description, and the codes of its problems. Needs no key."""

from dataclasses import asdict

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from worker.http.api.answers import immutable_response, json_response
from worker.http.api.paths import API_PREFIX
from worker.http.problems import PROBLEMS

router = APIRouter(prefix=API_PREFIX, tags=["service"])


@router.get("/problems")
async def list_problems() -> Response:
    """List the codes of the problems that answers may have."""
    return json_response({"problems": [asdict(problem) for problem in PROBLEMS]})


@router.get("/openapi.json")
async def get_description(request: Request) -> Response:
    """Return this description, in OpenAPI 3.1."""
    return immutable_response(request, request.app.state.description())
