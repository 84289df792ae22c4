"""`/ops`: the queue, the workers, jobs of all users, checks and webhooks, for operators."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import NotFoundError, ServiceUnavailableError
from domain.jobs import Job, JobStatus
from domain.webhooks import DeliveryState
from worker.client.operator import OperatorClient
from worker.export.html.values import line, moment
from worker.http.api.answers import read_cursor, read_text_cursor, write_cursor, write_text_cursor
from worker.http.api.jobs.jobs import read_job_cursor
from worker.http.api.paths import MAX_CURSOR
from worker.http.caller import operator_of
from worker.http.pages.layout.rendering import page
from worker.http.pages.layout.values import job_row
from worker.http.pages.layout.visitor import Operating
from worker.http.pages.operations.rows import check_row, delivery_row, ends_values, queue_values, worker_row

router = APIRouter(include_in_schema=False, prefix="/ops")

JOBS_SHOWN = 50
OTHERS_SHOWN = 5
"""Rows of the lists that have a page of their own."""

_STATES = {"failed": (JobStatus.FAILED,), "running": (JobStatus.RUNNING,), "pending": (JobStatus.PENDING,),
           "completed": (JobStatus.COMPLETED,), "all": tuple(JobStatus)}  # fmt: skip

T = TypeVar("T")
FoundJobs = tuple[list[tuple[str, Job]], str | None]
"""A page of jobs with the emails of their owners, and the cursor of the next page."""


@router.get("")
async def show_operations(
    request: Request,
    visitor: Operating,
    state: Annotated[str, Query(max_length=20)] = "running",
    find: Annotated[str, Query(max_length=320)] = "",
    cursor: Annotated[str | None, Query(max_length=MAX_CURSOR)] = None,
) -> Response:
    """Show the queue, the workers, and a page of jobs: in a state, of a user, or by the beginning of their id."""
    operator = await operator_of(request, visitor)
    chosen = state if state in _STATES else "running"
    (jobs, following), reason = await _jobs(operator, chosen, find.replace("\0", "").strip(), cursor)
    workers, unreachable = await _unless_away(operator.fleet.workers())
    ends, _ = await _unless_away(operator.fleet.ends())
    checks = await operator.fleet.list_checks(limit=OTHERS_SHOWN)
    given_up = await operator.webhooks.list_page(DeliveryState.GIVEN_UP, limit=OTHERS_SHOWN)
    return page(
        request,
        "operations/overview.html",
        visitor=visitor,
        now=f"{datetime.now(UTC):%H:%M:%S} UTC",
        again=request.url.query,
        queue=queue_values(await operator.fleet.queue_state()),
        ends=None if ends is None else ends_values(ends),
        workers=[worker_row(worker) for worker in workers or ()],
        unreachable=unreachable,
        jobs=[_job(owner, job) for owner, job in jobs],
        states=list(_STATES),
        chosen=chosen,
        find=line(find, 320),
        reason=reason,
        following=None if following is None else urlencode({"state": chosen, "find": find, "cursor": following}),
        checks=[check_row(check) for check in checks],
        deliveries=[delivery_row(owned) for owned in given_up],
    )


def _job(owner: str, job: Job) -> dict[str, Any]:
    return {**job_row(job), "owner": line(owner, 120), "updated": moment(job.updated_at)}


async def _unless_away(call: Awaitable[T]) -> tuple[T | None, str | None]:
    """Return what the call returns, or why Redis is away: the other parts of the page do without it."""
    try:
        async with asyncio.timeout(5):
            return await call, None
    except (ServiceUnavailableError, TimeoutError) as error:
        return None, line(str(error), 200) or "Redis does not answer"


async def _jobs(operator: OperatorClient, state: str, find: str, cursor: str | None) -> tuple[FoundJobs, str | None]:
    """Return a page of jobs, and why there is none."""
    try:
        if not find:
            return await _in_state(operator, _STATES[state], cursor), None
        if _names_user(find):
            return await _of_user(operator, find, cursor), None
        return await _by_id(operator, find, cursor), None
    except NotFoundError as error:
        return ([], None), line(str(error), 200)


def _names_user(text: str) -> bool:
    """Return whether the text is an email, or the id of a user; ids of jobs have no dashes."""
    with suppress(ValueError):
        return "@" in text or ("-" in text and bool(UUID(text)))
    return False


async def _in_state(operator: OperatorClient, statuses: tuple[JobStatus, ...], cursor: str | None) -> FoundJobs:
    after = None if cursor is None else read_cursor(cursor)
    found = await operator.list_jobs(statuses, since=None, limit=JOBS_SHOWN + 1, after=after)
    last = found[JOBS_SHOWN - 1][1] if len(found) > JOBS_SHOWN else None
    return found[:JOBS_SHOWN], None if last is None else write_cursor(last.updated_at, last.job_id)


async def _of_user(operator: OperatorClient, user: str, cursor: str | None) -> FoundJobs:
    after = None if cursor is None else read_job_cursor(cursor)
    user_id = await operator.find_user(user)
    found = await operator.user_client.list_jobs(user_id, limit=JOBS_SHOWN + 1, after=after)
    last = found[JOBS_SHOWN - 1] if len(found) > JOBS_SHOWN else None
    following = None if last is None else write_cursor(last.created_at, last.job_id)
    return [(user, job) for job in found[:JOBS_SHOWN]], following


async def _by_id(operator: OperatorClient, prefix: str, cursor: str | None) -> FoundJobs:
    after = "" if cursor is None else read_text_cursor(cursor)
    found = await operator.search_jobs(prefix, limit=JOBS_SHOWN + 1, after=after)
    if not found and cursor is None:
        raise NotFoundError(f"there is no job whose id begins with {line(prefix, 80)}")
    following = write_text_cursor(found[JOBS_SHOWN - 1][1].job_id) if len(found) > JOBS_SHOWN else None
    return found[:JOBS_SHOWN], following
