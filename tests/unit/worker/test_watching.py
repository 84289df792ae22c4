"""What a watcher of a job sees. A worker's events are ahead of the row, which has the last heartbeat's progress."""

import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from domain.jobs import Job, JobStatus
from domain.sources import SourceKind
from domain.text import JSON
from infrastructure.redis.queue import JobQueue
from worker.client.jobs.watching import watch_job

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PENDING = Job(
    job_id="a",
    user_id=uuid.UUID(int=1),
    status=JobStatus.PENDING,
    source_kind=SourceKind.UPLOAD,
    source_metadata={},
    result_run_id=None,
    error_message=None,
    created_at=NOW,
    updated_at=NOW,
    attempt=0,
    run_after=NOW,
    progress=0,
    stage=None,
    started_at=None,
    finished_at=None,
    attempt_errors=(),
    cancel_requested_at=None,
    idempotency_key=None,
    notify_url=None,
    turn=1,
    small=False,
    worker_id=None,
)
COMPLETED = replace(PENDING, status=JobStatus.COMPLETED, progress=100)

Step = Job | tuple[str, int] | None
"""The row that the next reads return; or the stage and progress of an event; or no event for a second."""


def running(stage: str | None, progress: int, attempt: int = 1) -> Job:
    return replace(PENDING, status=JobStatus.RUNNING, stage=stage, progress=progress, attempt=attempt)


class Script:
    """A queue and a table whose states follow each other as written."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._row = PENDING

    async def read(self) -> Job:
        return self._row

    async def events(self, job_id: str, seconds: float) -> AsyncGenerator[Mapping[str, JSON] | None, None]:
        for step in self._steps:
            if isinstance(step, Job):
                self._row = step
            elif step is None:
                yield None
            else:
                yield {"status": "running", "stage": step[0], "progress": step[1]}


async def seen(*steps: Step) -> list[Any]:
    script = Script([None, *steps, COMPLETED, None])
    jobs = [job async for job in watch_job("a", script.read, cast("JobQueue", script))]
    assert [jobs[0].status, jobs[-1].status] == [JobStatus.PENDING, JobStatus.COMPLETED]
    return [(job.stage, job.progress) for job in jobs[1:-1]]


async def test_progress_does_not_go_back_to_that_of_the_last_heartbeat() -> None:
    row = running("fetching", 0)
    assert await seen(row, ("fetching", 0), ("collecting", 20), None, ("collecting", 30), None, None) == [
        ("fetching", 0), ("collecting", 20), ("collecting", 30),
    ]  # fmt: skip


async def test_claim_that_is_read_after_its_first_event_does_not_hide_it() -> None:
    assert await seen(running(None, 0), ("fetching", 0), None, None) == [("fetching", 0)]


async def test_heartbeat_that_is_read_after_a_later_event_does_not_hide_it() -> None:
    assert await seen(running(None, 0), ("collecting", 20), running("collecting", 15), None, None) == [
        ("collecting", 20)
    ]


async def test_heartbeats_are_shown_when_no_event_arrives() -> None:
    steps = (running(None, 0), ("collecting", 90), None, running("collecting", 40), None)
    assert await seen(*steps) == [("collecting", 90), ("collecting", 40)]


async def test_next_attempt_is_shown_from_its_start() -> None:
    steps = (running("collecting", 40), None, ("collecting", 50), None, running(None, 0, attempt=2), None)
    assert await seen(*steps) == [("collecting", 40), ("collecting", 50), (None, 0)]


async def test_requeued_job_is_shown_as_pending() -> None:
    script = Script([None, running(None, 0), ("collecting", 50), replace(PENDING, attempt=1), None, COMPLETED, None])
    statuses = [job.status.value async for job in watch_job("a", script.read, cast("JobQueue", script))]
    assert statuses == ["pending", "running", "pending", "completed"]
