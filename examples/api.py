"""A complete API on FastAPI and `worker.client`.

Run it with `uvicorn examples.api:app`, with DATABASE_URL and REDIS_URL set or beside a running `vibe8 up`; it needs
`pip install fastapi uvicorn python-multipart`. For brevity it takes the user from the `X-User` header: replace that by
your own authentication.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI, File, Form, Header, HTTPException, Request, Response, UploadFile
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain import errors
from infrastructure.settings import load_settings
from worker.client import Client, Completed, JobFailed, job_to_json, run_to_json

STATUS = {
    errors.NotFoundError: 404,
    errors.ForbiddenError: 404,
    errors.InvalidKeyError: 401,
    errors.PermissionDeniedError: 403,
    errors.LimitExceededError: 429,
    errors.RateLimitedError: 429,
    errors.ReportGoneError: 410,
    errors.ReportPasswordError: 401,
    errors.TooManyAttemptsError: 429,
    errors.IllegalTransitionError: 409,
    errors.InvalidInputError: 422,
    errors.ServiceUnavailableError: 503,
}
FORM_BYTES = 64 * 1024
"""What the fields of a form may have beside its file."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open one client for the whole process."""
    settings = load_settings()
    async with Client.open(settings) as client:
        app.state.client, app.state.max_body_bytes = client, settings.plans.upload_bytes + FORM_BYTES
        yield


class BodyLimit:
    """ASGI middleware that refuses a body over the limit: by its declared length, else while it arrives."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with a `receive` that counts."""
        limit = scope["app"].state.max_body_bytes if scope["type"] == "http" else None
        declared = Headers(scope=scope).get("content-length", "") if limit else ""
        if limit and declared.isdecimal() and int(declared[:20]) > limit:
            await JSONResponse({"detail": TOO_LARGE}, status_code=413)(scope, receive, send)
        else:
            await self._app(scope, _limited(receive, limit) if limit else receive, send)


def _limited(receive: Receive, limit: int) -> Receive:
    received = 0

    async def counting() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(413, TOO_LARGE)
        return message

    return counting


TOO_LARGE = "the request is larger than MAX_UPLOAD_MB; leave out what is not Python, or submit a repository"

app = FastAPI(title="vibe8", lifespan=lifespan)
app.add_middleware(BodyLimit)


@app.exception_handler(errors.Vibe8Error)
async def answer_error(_: Request, error: errors.Vibe8Error) -> JSONResponse:
    """Answer every expected error with one line and a status. A foreign id gets the answer of an unknown one."""
    status = STATUS.get(type(error), 500)
    return JSONResponse({"detail": "there is no such job or run" if status == 404 else str(error)}, status_code=status)


def get_client(request: Request) -> Client:
    """Return the client of the process."""
    client: Client = request.app.state.client
    return client


Api = Annotated[Client, Depends(get_client)]


async def get_user(client: Api, x_user: Annotated[str, Header()]) -> UUID:
    """Return the id of the user who makes the request."""
    return await client.get_or_create_user(x_user)


User = Annotated[UUID, Depends(get_user)]
Notify = Annotated[str | None, Form(alias="notify_url")]


@app.post("/uploads", status_code=202)
async def upload(client: Api, user: User, file: Annotated[UploadFile, File()], notify: Notify = None) -> dict[str, Any]:
    """Submit a `.py` or `.zip` file. A webhook is sent to `notify_url` when the job ends (see webhook.py)."""
    name, content = file.filename or "", await file.read()
    return job_to_json(await client.submit_upload(user, filename=name, content=content, notify_url=notify))


@app.post("/repositories", status_code=202)
async def repository(
    client: Api,
    user: User,
    url: Annotated[str, Form()],
    branch: Annotated[str | None, Form()] = None,
    notify: Notify = None,
) -> dict[str, Any]:
    """Submit a git repository."""
    return job_to_json(await client.submit_repository(user, url=url, branch=branch, notify_url=notify))


@app.get("/jobs/{job_id}")
async def status(client: Api, user: User, job_id: str) -> dict[str, Any]:
    """Return the state of a job."""
    return job_to_json(await client.get_job(user, job_id))


@app.delete("/jobs/{job_id}", status_code=202)
async def cancel(client: Api, user: User, job_id: str) -> dict[str, Any]:
    """Cancel a job."""
    return job_to_json(await client.cancel_job(user, job_id))


@app.post("/jobs/{job_id}/result")
async def result(client: Api, user: User, job_id: str, response: Response) -> dict[str, Any]:
    """Take the result: 200 with the run, 422 with the error of a failed job, 202 for an unfinished job."""
    found = await client.take_result(user, job_id)
    if isinstance(found, Completed):
        return run_to_json(found.run, found.job)
    response.status_code = 422 if isinstance(found, JobFailed) else 202
    return job_to_json(found.job)


@app.get("/jobs/{job_id}/events")
async def events(client: Api, user: User, job_id: str) -> StreamingResponse:
    """Stream progress as server-sent events until the job has ended."""
    await client.get_job(user, job_id)  # check the owner before the response starts

    async def stream() -> AsyncIterator[str]:
        async for job in client.watch(user, job_id):
            yield f"data: {json.dumps({'status': job.status, 'stage': job.stage, 'progress': job.progress})}\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream")


@app.get("/runs")
async def runs(client: Api, user: User) -> list[dict[str, Any]]:
    """Return the newest runs."""
    page = await client.list_runs(user)
    return [{"run_id": str(run.run_id), "created_at": run.created_at.isoformat()} for run in page.runs]
