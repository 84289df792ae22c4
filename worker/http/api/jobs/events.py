"""Progress of a job as server-sent events, which can be resumed at any replica."""

import asyncio
import hashlib
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Header
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from domain.errors import Vibe8Error
from domain.jobs import Job
from infrastructure.json_codec import dumps
from worker.http.api.paths import API_PREFIX, JobId
from worker.http.caller import Caller, Reader
from worker.http.service import service_of
from worker.http.streams import EventStreams

router = APIRouter(prefix=API_PREFIX, tags=["jobs"])

EVENT_STREAM = "text/event-stream"
COMMENT_SECONDS = 15.0
"""After so long without an event comes a comment, so that neither a proxy nor the reader takes the stream for dead."""

MAX_STREAM_SECONDS = 300.0
"""A stream ends after so long, and its reader connects again: with a key that may have been revoked meanwhile."""

SEND_SECONDS = 30.0
"""How long a reader may leave what was sent unread, beyond MAX_STREAM_SECONDS."""

RETRY_MS = (1_000, 4_000)
"""After how long a reader connects again, by chance: all streams of a process may end at the same time."""

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@router.get("/jobs/{job_id}/events")
async def stream_events(
    request: Request,
    caller: Reader,
    job_id: JobId,
    last_event_id: Annotated[
        str | None, Header(max_length=200, description="The id of the last event you had.")
    ] = None,
) -> Response:
    """Stream the job's status, stage and progress until it has ended, as server-sent events.

    The first event is the state of now, unless it is the one of `Last-Event-ID`. A reader that has had the last event
    gets 204, which tells a browser not to connect again. A stream ends after five minutes at the latest: connect again.
    """
    streams = service_of(request).streams
    streams.require_place(caller.user_id)
    job = await caller.client.get_job(caller.user_id, job_id)
    if job.status.finished and last_event_id == event_id(job):
        return Response(status_code=204)
    return _EventResponse(_events(caller, job_id, last_event_id, streams), caller, streams)


class _EventResponse(StreamingResponse):
    """An event stream that has a place among the open ones, and that no reader can keep open for ever."""

    def __init__(self, events: AsyncIterator[bytes], caller: Caller, streams: EventStreams) -> None:
        super().__init__(events, media_type=EVENT_STREAM, headers=HEADERS)
        self._events, self._caller, self._streams = events, caller, streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events. Raises ProblemError where there are too many streams."""
        with self._streams.place(self._caller.user_id):
            try:
                async with asyncio.timeout(MAX_STREAM_SECONDS + SEND_SECONDS):
                    await super().__call__(scope, receive, send)
            except TimeoutError:
                return  # the reader has stopped reading


async def _events(caller: Caller, job_id: str, last_id: str | None, streams: EventStreams) -> AsyncIterator[bytes]:
    yield f"retry: {random.randint(*RETRY_MS)}\n\n".encode()  # nosec B311 # noqa: S311 - no secret
    try:
        async with aclosing(_states(caller, job_id, streams)) as states:
            async for job in states:
                found = event_id(job)
                yield b": still here\n\n" if found == last_id else _event(found, job)
                last_id = found
    except Vibe8Error:
        return  # deleted meanwhile, or a service is away: the reader connects again, and learns which


async def _states(caller: Caller, job_id: str, streams: EventStreams) -> AsyncGenerator[Job, None]:
    """Yield the job after each change, and after COMMENT_SECONDS without one, until either end."""
    ends_at = time.monotonic() + MAX_STREAM_SECONDS
    watching = caller.client.watch(caller.user_id, job_id, repeat_seconds=COMMENT_SECONDS)
    closing = asyncio.create_task(streams.closing.wait())
    following = asyncio.ensure_future(_next(watching))
    try:
        while time.monotonic() < ends_at:
            await asyncio.wait((following, closing), return_when=asyncio.FIRST_COMPLETED)
            if closing.done() or (job := following.result()) is None:
                return
            yield job
            following = asyncio.ensure_future(_next(watching))
    finally:
        closing.cancel()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def _next(watching: AsyncIterator[Job]) -> Job | None:
    return await anext(watching, None)


def event_id(job: Job) -> str:
    """Return what stands for the job's state: the same at every replica, and another one after each change."""
    state = f"{job.attempt} {job.status} {job.stage} {job.progress}"
    return hashlib.sha256(state.encode()).hexdigest()[:16]


def _event(found: str, job: Job) -> bytes:
    document = {
        "job_id": job.job_id,
        "status": str(job.status),
        "stage": job.stage,
        "progress": job.progress,
        "attempt": job.attempt,
        "result_run_id": None if job.result_run_id is None else str(job.result_run_id),
        "error_message": job.error_message,
    }
    return b"event: job\nid: %s\ndata: %s\n\n" % (found.encode(), dumps(document))
