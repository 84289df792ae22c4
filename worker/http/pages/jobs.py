"""The page of a job: its progress while it runs, then its result or its error."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from domain.keys import Permission
from worker.http.api.paths import JobId
from worker.http.pages.layout.forms import read_fields
from worker.http.pages.layout.rendering import page, see_other
from worker.http.pages.layout.values import job_row
from worker.http.pages.layout.visitor import Reading, Submitting

router = APIRouter(include_in_schema=False)


@router.get("/jobs/{job_id}")
async def show_job(request: Request, visitor: Reading, job_id: JobId) -> Response:
    """Show a job. Without script the page loads itself again every few seconds until the job has ended."""
    job = await visitor.client.get_job(visitor.user_id, job_id)
    may_change = Permission.SUBMIT in visitor.identity.permissions
    return page(request, "job.html", visitor=visitor, job=job_row(job), may_change=may_change)


@router.post("/jobs/{job_id}/cancel")
async def cancel_job(request: Request, visitor: Submitting, job_id: JobId) -> Response:
    """Cancel a job that has not ended."""
    await read_fields(request, ())
    await visitor.client.cancel_job(visitor.user_id, job_id)
    return see_other(request, f"/jobs/{job_id}")


@router.post("/jobs/{job_id}/retry")
async def retry_job(request: Request, visitor: Submitting, job_id: JobId) -> Response:
    """Make a failed job pending again."""
    await read_fields(request, ())
    await visitor.client.retry_job(visitor.user_id, job_id)
    return see_other(request, f"/jobs/{job_id}")
