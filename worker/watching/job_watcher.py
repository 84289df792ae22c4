"""Watching jobs: one connection to Redis and one statement a second for a process, however many are watched."""

import asyncio
import time
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace

from redis.asyncio import Redis

from domain.errors import NotFoundError
from domain.jobs import Job, JobStatus
from domain.text import JSON, one_line
from infrastructure.database.engine import Database
from infrastructure.database.queries.watched_jobs import JobState, WatchedJobs
from infrastructure.redis.job_events import JobEvents
from worker.watching.job_view import JobView, watched_state

WATCH_POLL_SECONDS = 1.0
"""How often all watched jobs are read: a change whose event is lost is seen so much later."""

MAX_READING_SHARE = 0.1
"""The share of the time for which jobs are read at most: where a read of very many takes long, polls are rarer."""

PAUSE_SECONDS = 0.02
"""The pause between two reads, in which events that ask for one are collected."""


@dataclass(slots=True)
class _Watched:
    """A job that is watched, by `watchers` at the same time."""

    view: JobView
    watchers: int = 0
    error: Exception | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at the next change, and then replaced by another one."""

    def show(self, view: JobView) -> None:
        """Show the view, and wake the watchers if it differs from the last one."""
        before, self.view = self.view, view
        if watched_state(before.shown) != watched_state(view.shown):
            self.wake()

    def wake(self) -> None:
        """Let each watcher look."""
        self.changed.set()
        self.changed = asyncio.Event()

    def fail(self, error: Exception) -> None:
        """End each watcher with this error."""
        self.error = error
        self.wake()


class JobWatcher:
    """Watches jobs for the tasks of one event loop. It reads only while somebody watches.

    Watchers that are slower than a job's changes see the latest one: nothing is kept for them.
    """

    def __init__(self, database: Database, redis: Redis) -> None:
        self._database = database
        self._watched: dict[str, _Watched] = {}
        self._events = JobEvents(redis, self._on_event)
        self._to_read = set[str]()
        self._asked = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def watch(self, job: Job, repeat_seconds: float | None = None) -> AsyncGenerator[Job, None]:
        """Yield the job, as just read, and after each change; see `Client.watch`."""
        watched = self._enter(job)
        try:
            seen: Job | None = None
            while True:
                if watched.error is not None:
                    raise watched.error
                changed, shown = watched.changed, watched.view.shown
                if seen is None or watched_state(seen) != watched_state(shown):
                    seen = shown
                    yield shown
                    if shown.status.finished:
                        return
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(repeat_seconds):
                        await changed.wait()
                        continue
                seen = None
        finally:
            await self._leave(job.job_id, watched)

    def _enter(self, job: Job) -> _Watched:
        watched = self._watched.get(job.job_id)
        if watched is None:
            watched = self._watched[job.job_id] = _Watched(JobView(shown=job, row=job))
            self._events.add(job.job_id)
        else:
            watched.show(watched.view.after_read(job))
        watched.watchers += 1
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._events.run()), asyncio.create_task(self._read_always())]
        return watched

    async def _leave(self, job_id: str, watched: _Watched) -> None:
        watched.watchers -= 1
        if not watched.watchers and self._watched.get(job_id) is watched:
            self._forget(job_id)
        if not self._watched:
            await self.close()

    async def close(self) -> None:
        """Stop to read, whoever still watches."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, job_id: str) -> None:
        del self._watched[job_id]
        self._events.remove(job_id)

    def _on_event(self, job_id: str, event: Mapping[str, JSON] | None) -> None:
        watched = self._watched.get(job_id)
        if watched is None:
            return
        before = watched.view.shown.status
        if event is not None and event["status"] == JobStatus.RUNNING and not before.finished:
            watched.show(watched.view.after_event(event))
            if before is JobStatus.RUNNING:
                return
        self._to_read.add(job_id)
        self._asked.set()

    async def _read_always(self) -> None:
        """Read the jobs that events ask for at once, and all of them every WATCH_POLL_SECONDS."""
        poll_at = time.monotonic() + WATCH_POLL_SECONDS
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, poll_at - time.monotonic())):
                    await self._asked.wait()
            self._asked.clear()
            started = time.monotonic()
            is_poll = started >= poll_at
            asked, self._to_read = self._to_read, set()
            await self._read(list(self._watched) if is_poll else [each for each in asked if each in self._watched])
            ended = time.monotonic()
            if is_poll:
                poll_at = ended + max(WATCH_POLL_SECONDS, (ended - started) / MAX_READING_SHARE)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _read(self, job_ids: Collection[str]) -> None:
        """Read these jobs, and show what has changed. Where that fails, their watchers get the error."""
        watched = {job_id: self._watched[job_id] for job_id in job_ids}
        try:
            states, rows = await self._states_and_rows(watched)
        except Exception as error:  # noqa: BLE001 - each watcher raises it
            for job_id, each in watched.items():
                self._end(job_id, each, error)
            return
        for job_id, each in watched.items():
            found = _next_row(job_id, each.view.row, states.get(job_id), rows)
            if isinstance(found, Job):
                each.show(each.view.after_read(found))
            else:
                self._end(job_id, each, found)

    async def _states_and_rows(
        self, watched: Mapping[str, _Watched]
    ) -> tuple[Mapping[str, JobState], Mapping[str, Job | Exception]]:
        """Return the states of these jobs, and the rows of those of which more than the progress has changed."""
        if not watched:
            return {}, {}
        async with self._database.unit_of_work() as work:
            repository = WatchedJobs(work)
            states = await repository.states(watched)
            changed = [job_id for job_id, state in states.items() if _needs_row(watched[job_id].view.row, state)]
            return states, await repository.jobs(changed) if changed else {}

    def _end(self, job_id: str, watched: _Watched, error: Exception) -> None:
        if self._watched.get(job_id) is watched:
            self._forget(job_id)
        watched.fail(error)


def _needs_row(row: Job, state: JobState) -> bool:
    """Return whether more than the progress has changed since the row was read."""
    return (row.status, row.attempt) != (state.status, state.attempt)


def _next_row(job_id: str, before: Job, state: JobState | None, rows: Mapping[str, Job | Exception]) -> Job | Exception:
    """Return the job's row as it is now, or why there is none."""
    if state is None or (_needs_row(before, state) and job_id not in rows):
        return NotFoundError(f"there is no job {one_line(job_id, 80)}")
    return rows.get(job_id) or replace(before, **asdict(state))
