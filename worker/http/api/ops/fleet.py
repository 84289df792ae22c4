"""The queue and the workers: counts, ends of jobs, pausing, resuming and draining, and checks of repositories."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.responses import Response

from domain.tracking.due_checks import DueCheckCursor
from worker.client.operators.fleet import worker_to_json
from worker.http.api.answers import json_response, read_cursor, write_cursor
from worker.http.api.paths import API_PREFIX, Cursor, Limit, parse_id
from worker.http.api.request_bodies import Body, JsonBody, Text
from worker.http.caller import Operator

router = APIRouter(prefix=f"{API_PREFIX}/ops", tags=["operations"])


class DrainOrder(Body):
    """Which workers shall end."""

    worker_id: Annotated[Text | None, Field(max_length=500)]
    """One worker, or null for all."""


@router.get("/queue")
async def get_queue(operator: Operator) -> Response:
    """Return how many jobs of all users are in each state, the age of the oldest, and whether the fleet is paused.

    A worker counts them each ten seconds; `counted_seconds_ago` says how old the counts are.
    """
    return json_response((await operator.fleet.queue_state()).to_json())


@router.get("/ends")
async def get_ends(operator: Operator) -> Response:
    """Return how many jobs workers have ended in each minute of the last hour, by outcome.

    `jobs_a_minute` is the mean of the last five whole minutes; the last of `minutes` has not ended.
    """
    return json_response((await operator.fleet.ends()).to_json())


@router.get("/checks")
async def list_checks(operator: Operator, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List the checks of all tracked repositories that are due or scheduled, the one that is due for longest first."""
    after = None if cursor is None else read_check_cursor(cursor)
    found = await operator.fleet.list_checks(limit=limit + 1, after=after)
    page = found[:limit]
    following = write_cursor(page[-1].due_at, str(page[-1].repository_id)) if len(found) > limit else None
    return json_response({"checks": [check.to_json() for check in page], "next": following})


def read_check_cursor(text: str) -> DueCheckCursor:
    """Return the place in a list of checks. Raises InvalidInputError, NotFoundError for what is no cursor."""
    due_at, repository_id = read_cursor(text)
    return DueCheckCursor(due_at=due_at, repository_id=parse_id(repository_id))


@router.post("/pause")
async def pause(operator: Operator) -> Response:
    """Keep all workers from claiming jobs. Running ones go on."""
    return json_response({"paused": True, "changed": await operator.fleet.set_paused(paused=True)})


@router.post("/resume")
async def resume(operator: Operator) -> Response:
    """Let the workers claim jobs again."""
    return json_response({"paused": False, "changed": await operator.fleet.set_paused(paused=False)})


@router.get("/workers")
async def list_workers(operator: Operator) -> Response:
    """List the workers with their jobs, slots, version and last report."""
    return json_response({"workers": [worker_to_json(worker) for worker in await operator.fleet.workers()]})


@router.post("/drain", status_code=202)
async def drain(operator: Operator, wanted: Annotated[DrainOrder, Depends(JsonBody(DrainOrder))]) -> Response:
    """Tell one worker, or all, to finish their jobs and end."""
    return json_response({"draining": list(await operator.fleet.drain(wanted.worker_id))}, 202)
