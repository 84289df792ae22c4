"""Push hooks of git hosts. They have a signature in place of a key."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from worker.http.address import client_for
from worker.http.api.answers import json_response
from worker.http.api.paths import API_PREFIX, parse_id
from worker.http.service import service_of

router = APIRouter(prefix=f"{API_PREFIX}/hooks", tags=["repositories"])


@router.post("/{repository_id}", status_code=202)
async def receive_hook(
    request: Request, repository_id: Annotated[str, Path(max_length=200, description="The id of a repository.")]
) -> Response:
    """Take a push hook of GitHub or GitLab: the repository is checked at once.

    An unknown repository and a wrong signature are answered alike.
    """
    key, service = parse_id(repository_id), service_of(request)
    client = client_for(request, service.client, service.options)
    outcome = await client.repositories.receive_hook(key, request.headers, await request.body())
    return json_response({"outcome": str(outcome)}, 202)
