"""Watching a job: its state now and after each change."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

from domain.jobs import Job, JobStatus
from infrastructure.redis.queue import JobQueue

WATCH_POLL_SECONDS = 1.0


async def watch_job(job_id: str, read: Callable[[], Awaitable[Job]], queue: JobQueue) -> AsyncGenerator[Job, None]:
    """Yield what `read` returns now, and the job after each change, until it has ended; see `Client.watch`."""
    shown: Job | None = None
    read_at = 0.0
    async with aclosing(queue.events(job_id, WATCH_POLL_SECONDS)) as events:
        async for event in events:
            is_recent = time.monotonic() - read_at < WATCH_POLL_SECONDS  # forged events must not hide the row
            if event is not None and shown is not None and is_recent and event["status"] == JobStatus.RUNNING:
                job = replace(shown, status=JobStatus.RUNNING, stage=event["stage"], progress=event["progress"])
            else:
                job = await read()
                read_at = time.monotonic()
            if shown is None or _watched_state(job) != _watched_state(shown):
                yield job
            shown = job
            if job.status.finished:
                return


def _watched_state(job: Job) -> tuple[JobStatus, str | None, int]:
    return job.status, job.stage, job.progress
