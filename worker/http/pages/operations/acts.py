"""What operators change: each form is a confirmation, and leads to an entry in the audit log."""

from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import NotFoundError
from worker.http.api.paths import JobId, parse_id
from worker.http.caller import operator_of
from worker.http.pages.layout.forms import read_fields
from worker.http.pages.layout.rendering import see_other
from worker.http.pages.layout.visitor import Operating

router = APIRouter(include_in_schema=False, prefix="/ops")


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


@router.post("/webhooks/{delivery_id}/resend")
async def resend(request: Request, visitor: Operating, delivery_id: str) -> Response:
    """Send a webhook again. The list of those that wait has it first."""
    await read_fields(request, ())
    await (await operator_of(request, visitor)).webhooks.resend(parse_id(delivery_id))
    return see_other(request, "/ops/webhooks?state=waiting")


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
