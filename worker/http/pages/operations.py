"""`/ops`: the queue, the workers, and jobs of all users, for operators. Each act has a confirmation and an entry."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import NotFoundError, ServiceUnavailableError
from domain.jobs import Job, JobCursor, JobStatus
from domain.workers import WorkerInfo
from worker.client.fleet import QueueState, worker_to_json
from worker.client.operator import OperatorClient
from worker.export.html.values import line, moment
from worker.http.api.answers import read_cursor, write_cursor
from worker.http.api.paths import MAX_CURSOR, JobId
from worker.http.caller import operator_of
from worker.http.pages.layout.forms import read_fields
from worker.http.pages.layout.rendering import page, see_other
from worker.http.pages.layout.values import job_row
from worker.http.pages.layout.visitor import Operating

router = APIRouter(include_in_schema=False, prefix="/ops")

JOBS_SHOWN = 50
_STATES = {"failed": (JobStatus.FAILED,), "running": (JobStatus.RUNNING,), "pending": (JobStatus.PENDING,),
           "completed": (JobStatus.COMPLETED,), "all": tuple(JobStatus)}  # fmt: skip


@router.get("")
async def show_operations(
    request: Request,
    visitor: Operating,
    state: Annotated[str, Query(max_length=20)] = "running",
    find: Annotated[str, Query(max_length=320)] = "",
    cursor: Annotated[str | None, Query(max_length=MAX_CURSOR)] = None,
) -> Response:
    """Show counts of the queue, the workers, and a page of jobs: in a state, of a user, or with an id."""
    operator = await operator_of(request, visitor)
    chosen = state if state in _STATES else "running"
    jobs, following, reason = await _jobs(operator, chosen, find.replace("\0", "").strip(), cursor)
    workers, unreachable = await _workers(operator)
    return page(
        request,
        "operations.html",
        visitor=visitor,
        queue=_queue(await operator.fleet.queue_state()),
        workers=workers,
        unreachable=unreachable,
        jobs=[{**job_row(job), "owner": line(owner, 120), "updated": moment(job.updated_at)} for owner, job in jobs],
        states=list(_STATES),
        chosen=chosen,
        find=line(find, 320),
        reason=reason,
        following=None if following is None else urlencode({"state": chosen, "find": find, "cursor": following}),
    )


async def _jobs(
    operator: OperatorClient, state: str, find: str, cursor: str | None
) -> tuple[list[tuple[str, Job]], str | None, str | None]:
    """Return a page of jobs with their owners, the cursor of the next page, and why there is none."""
    after = None if cursor is None else read_cursor(cursor)
    if not find:
        found = await operator.list_jobs(_STATES[state], since=None, limit=JOBS_SHOWN + 1, after=after)
        last = found[JOBS_SHOWN - 1][1] if len(found) > JOBS_SHOWN else None
        return found[:JOBS_SHOWN], None if last is None else write_cursor(last.updated_at, last.job_id), None
    try:
        if "@" in find:
            user_id = await operator.find_user(find)
            before = None if after is None else JobCursor(created_at=after[0], job_id=after[1])
            jobs = await operator.user_client.list_jobs(user_id, limit=JOBS_SHOWN + 1, after=before)
            end = jobs[JOBS_SHOWN - 1] if len(jobs) > JOBS_SHOWN else None
            following = None if end is None else write_cursor(end.created_at, end.job_id)
            return [(find, job) for job in jobs[:JOBS_SHOWN]], following, None
        job_id = await operator.find_job_id(find)
        owner = await operator.get_job_owner(job_id)
        return [(str(owner), await operator.user_client.get_job(owner, job_id))], None, None
    except NotFoundError as error:
        return [], None, line(str(error), 200)


async def _workers(operator: OperatorClient) -> tuple[list[dict[str, Any]], str | None]:
    try:
        return [_worker(each) for each in await operator.fleet.workers()], None
    except ServiceUnavailableError as error:
        return [], line(str(error), 200)


def _worker(worker: WorkerInfo) -> dict[str, Any]:
    document = worker_to_json(worker)
    return {
        "worker_id": worker.replica_id,
        "text": line(worker.replica_id, 80),
        "facts": [
            (line(name, 40).replace("_", " "), moment(value) if name.endswith("_at") else line(str(value), 120))
            for name, value in document.items()
            if value is not None and name not in ("replica_id", "jobs") and not isinstance(value, dict | list)
        ],
    }


def _queue(state: QueueState) -> dict[str, Any]:
    return {
        "paused": state.paused,
        "counted": None if state.counted_seconds_ago is None else round(state.counted_seconds_ago),
        "counts": [
            (str(status), f"{count.jobs:,}", _age(count.oldest_seconds)) for status, count in state.counts.items()
        ],
    }


def _age(seconds: float | None) -> str:
    if seconds is None:
        return ""
    units = ((86_400, "d"), (3_600, "h"), (60, "min"))
    return next((f"{seconds / size:.1f} {unit}" for size, unit in units if seconds >= size), f"{seconds:.0f} s")


@router.post("/pause")
async def pause(request: Request, visitor: Operating) -> Response:
    """Keep all workers from claiming jobs."""
    await read_fields(request, ())
    await (await operator_of(request, visitor)).fleet.set_paused(paused=True)
    return see_other(request, "/ops")


@router.post("/resume")
async def resume(request: Request, visitor: Operating) -> Response:
    """Let the workers claim jobs again."""
    await read_fields(request, ())
    await (await operator_of(request, visitor)).fleet.set_paused(paused=False)
    return see_other(request, "/ops")


@router.post("/drain")
async def drain(request: Request, visitor: Operating) -> Response:
    """Tell a worker to finish its jobs and end."""
    fields = await read_fields(request, {"worker_id"})
    await (await operator_of(request, visitor)).fleet.drain(fields.get("worker_id", ""))
    return see_other(request, "/ops")


@router.post("/jobs/{job_id}/{act}")
async def change_job(request: Request, visitor: Operating, job_id: JobId, act: str) -> Response:
    """Cancel or retry a job of any user. A job that has changed meanwhile stays as it is, and the list shows how."""
    await read_fields(request, ())
    operator = await operator_of(request, visitor)
    if act == "cancel":
        await operator.cancel_jobs([job_id])
    elif act == "retry":
        await operator.retry_jobs([job_id], limited_user=None)
    else:
        raise NotFoundError("there is no such act")
    return see_other(request, f"/ops?{urlencode({'find': job_id})}")
