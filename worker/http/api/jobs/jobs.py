"""Jobs: list, read, cancel or delete, retry."""

import asyncio
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from domain.jobs import JobCursor, JobStatus
from infrastructure.json_codec import dumps
from worker.client import (
    Completed,
    JobFailed,
    Unfinished,
    empty_result_to_json,
    job_to_json,
    run_to_json,
    webhook_delivery_to_json,
)
from worker.http.api.answers import JSON_TYPE, json_response, read_cursor, write_cursor
from worker.http.api.paths import API_PREFIX, Cursor, JobId, Limit
from worker.http.caller import Reader, Submitter

router = APIRouter(prefix=f"{API_PREFIX}/jobs", tags=["jobs"])

MAX_AGE_SECONDS = 100 * 365 * 86_400
POLL_SECONDS = 2
"""`Retry-After` of a result that is not there yet."""


@router.get("")
async def list_jobs(
    caller: Reader,
    status: Annotated[JobStatus | None, Query(description="Only jobs in this state.")] = None,
    since_seconds: Annotated[
        int | None, Query(ge=0, le=MAX_AGE_SECONDS, description="Only jobs that are younger than this.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List your jobs, newest first. A job is listed until it is deleted, or cleaned up after its end."""
    after = None if cursor is None else read_job_cursor(cursor)
    since = None if since_seconds is None else timedelta(seconds=since_seconds)
    found = await caller.client.list_jobs(caller.user_id, status=status, since=since, limit=limit + 1, after=after)
    page = found[:limit]
    following = write_cursor(page[-1].created_at, page[-1].job_id) if len(found) > limit else None
    return json_response({"jobs": [job_to_json(job) for job in page], "next": following})


@router.get("/{job_id}")
async def get_job(caller: Reader, job_id: JobId) -> Response:
    """Return a job: its state, stage and progress."""
    return json_response(job_to_json(await caller.client.get_job(caller.user_id, job_id)))


@router.get("/{job_id}/result")
async def get_result(caller: Reader, job_id: JobId) -> Response:
    """Return the result: 200 once the job has ended, 202 before. Nothing is deleted.

    A failed job's result has null in place of what only an analysis knows, and its error in `errors`.
    """
    found = await caller.client.get_result(caller.user_id, job_id)
    if isinstance(found, Unfinished):
        return json_response(empty_result_to_json(found), 202, Retry_After=str(POLL_SECONDS))
    return Response(await asyncio.to_thread(_result_body, found), media_type=JSON_TYPE)


def _result_body(found: Completed | JobFailed) -> bytes:
    """Return the document as JSON: up to 30 MB, so not on the event loop."""
    return dumps(run_to_json(found.run, found.job) if isinstance(found, Completed) else empty_result_to_json(found))


@router.get("/{job_id}/webhooks")
async def list_webhooks(caller: Reader, job_id: JobId) -> Response:
    """List the webhook deliveries about the job, oldest first."""
    found = await caller.client.list_webhook_deliveries(caller.user_id, job_id)
    return json_response({"webhooks": [webhook_delivery_to_json(delivery) for delivery in found]})


@router.delete("/{job_id}")
async def delete_job(caller: Submitter, job_id: JobId) -> Response:
    """Cancel a job that has not ended (202, with the job), or delete one that has (204). Its run stays."""
    job = await caller.client.get_job(caller.user_id, job_id)
    if not job.status.finished:
        return json_response(job_to_json(await caller.client.cancel_job(caller.user_id, job_id)), 202)
    await caller.client.take_result(caller.user_id, job_id)
    return Response(status_code=204)


@router.post("/{job_id}/retry", status_code=202)
async def retry_job(caller: Submitter, job_id: JobId) -> Response:
    """Make a failed job pending again, with its attempts reset."""
    return json_response(job_to_json(await caller.client.retry_job(caller.user_id, job_id)), 202)


def read_job_cursor(text: str) -> JobCursor:
    """Return the place in a list of a user's jobs. Raises InvalidInputError for what is no cursor."""
    created_at, job_id = read_cursor(text)
    return JobCursor(created_at=created_at, job_id=job_id)
