"""What operators do: see the queue and the workers, pause, resume and drain them, and act on any user's jobs."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from starlette.responses import Response

from domain.audit import Action, AuditCursor
from domain.errors import IllegalTransitionError
from domain.jobs import Job, JobCursor, JobStatus
from domain.text import JSON
from worker.client import job_to_json, webhook_delivery_to_json
from worker.client.fleet import worker_to_json
from worker.client.operator import OperatorClient
from worker.http.api.answers import json_response, read_cursor, write_cursor
from worker.http.api.jobs.jobs import MAX_AGE_SECONDS
from worker.http.api.paths import API_PREFIX, Cursor, JobId, Limit, parse_id
from worker.http.api.request_bodies import Body, JsonBody, Text
from worker.http.caller import Operator

router = APIRouter(prefix=f"{API_PREFIX}/ops", tags=["operations"])

User = Annotated[str | None, Query(min_length=1, max_length=320, description="Only of this user: an email or an id.")]
Since = Annotated[
    int | None, Query(ge=0, le=MAX_AGE_SECONDS, description="Only what is younger than this many seconds.")
]


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


@router.get("/jobs")
async def list_all_jobs(
    operator: Operator,
    status: Annotated[list[JobStatus] | None, Query(description="Only jobs in one of these states.")] = None,
    user: User = None,
    since_seconds: Since = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List jobs of all users, the last changed first, each with its `owner`; of one `user`, the newest first."""
    age = None if since_seconds is None else timedelta(seconds=since_seconds)
    after = None if cursor is None else read_cursor(cursor)
    statuses = tuple(status or JobStatus)
    if user is not None:
        return await _jobs_of_user(operator, user, statuses, age, limit, after)
    since = None if age is None else datetime.now(UTC) - age
    found = await operator.list_jobs(statuses, since=since, limit=limit + 1, after=after)
    page = found[:limit]
    last = page[-1][1] if len(found) > limit else None
    return _page(
        [{**job_to_json(job), "owner": email} for email, job in page],
        None if last is None else write_cursor(last.updated_at, last.job_id),
    )


async def _jobs_of_user(
    operator: OperatorClient,
    user: str,
    statuses: tuple[JobStatus, ...],
    age: timedelta | None,
    limit: int,
    after: tuple[datetime, str] | None,
) -> Response:
    """Return a page of one user's jobs. Of several states, those of others on the page are left out."""
    cursor = None if after is None else JobCursor(created_at=after[0], job_id=after[1])
    only = statuses[0] if len(statuses) == 1 else None
    user_id = await operator.find_user(user)
    found = await operator.user_client.list_jobs(user_id, status=only, since=age, limit=limit + 1, after=cursor)
    page = found[:limit]
    following = write_cursor(page[-1].created_at, page[-1].job_id) if len(found) > limit else None
    return _page([{**job_to_json(job), "owner": user} for job in page if job.status in statuses], following)


def _page(jobs: list[dict[str, JSON]], following: str | None) -> Response:
    return json_response({"jobs": jobs, "next": following})


@router.get("/jobs/{job_id}")
async def get_any_job(operator: Operator, job_id: JobId) -> Response:
    """Return a job of any user, with the webhook deliveries about it."""
    owner = await operator.get_job_owner(job_id)
    job = await operator.user_client.get_job(owner, job_id)
    deliveries = await operator.user_client.list_webhook_deliveries(owner, job_id)
    return json_response({**job_to_json(job), "notices": [webhook_delivery_to_json(each) for each in deliveries]})


@router.post("/jobs/{job_id}/cancel", status_code=202)
async def cancel_any_job(operator: Operator, job_id: JobId) -> Response:
    """Cancel a job of any user that has not ended."""
    return await _changed(operator, job_id, await operator.cancel_jobs([job_id]), "has ended: nothing to cancel")


@router.post("/jobs/{job_id}/retry", status_code=202)
async def retry_any_job(operator: Operator, job_id: JobId) -> Response:
    """Make a failed job of any user pending again, whatever the user's limits."""
    changed = await operator.retry_jobs([job_id], limited_user=None)
    return await _changed(operator, job_id, changed, "cannot be retried: it has not failed, or its upload is gone")


async def _changed(operator: OperatorClient, job_id: str, changed: list[Job], otherwise: str) -> Response:
    if not changed:
        await operator.get_job_owner(job_id)  # raises where there is no such job
        raise IllegalTransitionError(f"the job {otherwise}")
    return json_response(job_to_json(changed[0]), 202)


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
