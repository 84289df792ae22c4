"""Jobs of all users for operators: listed, searched, cancelled and retried."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from domain.errors import IllegalTransitionError
from domain.jobs import Job, JobCursor, JobStatus
from domain.text import JSON
from worker.client import job_to_json, webhook_delivery_to_json
from worker.client.operator import OperatorClient
from worker.http.api.answers import json_response, read_cursor, read_text_cursor, write_cursor, write_text_cursor
from worker.http.api.ops.parameters import Since, User
from worker.http.api.paths import API_PREFIX, Cursor, JobId, Limit
from worker.http.caller import Operator

router = APIRouter(prefix=f"{API_PREFIX}/ops", tags=["operations"])


@router.get("/jobs")
async def list_all_jobs(
    operator: Operator,
    status: Annotated[list[JobStatus] | None, Query(description="Only jobs in one of these states.")] = None,
    user: User = None,
    job: Annotated[
        str | None, Query(min_length=1, max_length=200, description="Only jobs whose ids begin with this.")
    ] = None,
    since_seconds: Since = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List jobs of all users, the last changed first, each with its `owner`; of one `user`, the newest first.

    With `job`, the jobs whose ids begin with it, by id, in whatever state and of whatever age; without `user`.
    """
    if job is not None:
        return await _jobs_by_id(operator, job, limit, cursor)
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


async def _jobs_by_id(operator: OperatorClient, prefix: str, limit: int, cursor: str | None) -> Response:
    after = "" if cursor is None else read_text_cursor(cursor)
    found = await operator.search_jobs(prefix, limit=limit + 1, after=after)
    page = found[:limit]
    following = write_text_cursor(page[-1][1].job_id) if len(found) > limit else None
    return _page([{**job_to_json(job), "owner": email} for email, job in page], following)


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
