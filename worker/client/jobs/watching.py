"""Watching a job: its state now and after each change."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from domain.jobs import Job, JobStatus
from infrastructure.redis.queue import JobQueue

WATCH_POLL_SECONDS = 1.0


async def watch_job(job_id: str, read: Callable[[], Awaitable[Job]], queue: JobQueue) -> AsyncGenerator[Job, None]:
    """Yield what `read` returns now, and the job after each change, until it has ended; see `Client.watch`."""
    view: _View | None = None
    async with aclosing(queue.events(job_id, WATCH_POLL_SECONDS)) as events:
        async for event in events:
            before = view
            if event is not None and view is not None and view.is_recent and event["status"] == JobStatus.RUNNING:
                view = view.after_event(event)
            else:
                row = await read()
                view = _View(shown=row if view is None else view.merge(row), row=row, read_at=time.monotonic())
            if before is None or _watched_state(view.shown) != _watched_state(before.shown):
                yield view.shown
            if view.shown.status.finished:
                return


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """The job as it is shown: its row as last read, with the progress of later events.

    A worker publishes each step of its progress, and writes it into the row with its heartbeats only. A row that is
    read is therefore often behind the events.
    """

    shown: Job
    row: Job
    read_at: float
    has_event: bool = False
    """Whether an event arrived after the row was read."""

    @property
    def is_recent(self) -> bool:
        """Whether events may still be shown without a look at the row: forged ones must not hide it."""
        return time.monotonic() - self.read_at < WATCH_POLL_SECONDS

    def after_event(self, event: Mapping[str, Any]) -> "_View":
        shown = replace(self.shown, status=JobStatus.RUNNING, stage=event["stage"], progress=event["progress"])
        return replace(self, shown=shown, has_event=True)

    def merge(self, row: Job) -> Job:
        """Return the row that was read now, with the progress shown so far if that is newer.

        It is newer if the row says what it said before, and if an event arrived meanwhile that is ahead of it.
        """
        both_running = row.status is JobStatus.RUNNING is self.shown.status
        is_unchanged = (row.attempt, *_watched_state(row)) == (self.row.attempt, *_watched_state(self.row))
        is_overtaken = self.has_event and row.progress <= self.shown.progress
        if both_running and (is_unchanged or is_overtaken):
            return replace(row, stage=self.shown.stage, progress=self.shown.progress)
        return row


def _watched_state(job: Job) -> tuple[JobStatus, str | None, int]:
    return job.status, job.stage, job.progress
