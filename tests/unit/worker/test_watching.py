"""What a watcher of a job sees. A worker's events are ahead of the row, which has the last heartbeat's progress."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from domain.jobs import Job, JobStatus
from domain.sources import SourceKind
from worker.watching.job_view import JobView, watched_state

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
"""The row that the next reads return; or the stage and progress of an event; or a read of the row."""


def running(stage: str | None, progress: int, attempt: int = 1) -> Job:
    return replace(PENDING, status=JobStatus.RUNNING, stage=stage, progress=progress, attempt=attempt)


def shown(*steps: Step) -> list[Job]:
    """Return what is shown at first and after each change."""
    row, view = PENDING, JobView(shown=PENDING, row=PENDING)
    seen = [view.shown]
    for step in (*steps, COMPLETED, None):
        if isinstance(step, Job):
            row = step
            continue
        view = view.after_read(row) if step is None else view.after_event({"stage": step[0], "progress": step[1]})
        if watched_state(view.shown) != watched_state(seen[-1]):
            seen.append(view.shown)
    return seen


def seen(*steps: Step) -> list[Any]:
    jobs = shown(*steps)
    assert [jobs[0].status, jobs[-1].status] == [JobStatus.PENDING, JobStatus.COMPLETED]
    return [(job.stage, job.progress) for job in jobs[1:-1]]


def test_progress_does_not_go_back_to_that_of_the_last_heartbeat() -> None:
    row = running("fetching", 0)
    assert seen(row, ("fetching", 0), ("collecting", 20), None, ("collecting", 30), None, None) == [
        ("fetching", 0), ("collecting", 20), ("collecting", 30),
    ]  # fmt: skip


def test_claim_that_is_read_after_its_first_event_does_not_hide_it() -> None:
    assert seen(running(None, 0), ("fetching", 0), None, None) == [("fetching", 0)]


def test_heartbeat_that_is_read_after_a_later_event_does_not_hide_it() -> None:
    assert seen(running(None, 0), ("collecting", 20), running("collecting", 15), None, None) == [("collecting", 20)]


def test_heartbeats_are_shown_when_no_event_arrives() -> None:
    steps = (running(None, 0), ("collecting", 90), None, running("collecting", 40), None)
    assert seen(*steps) == [("collecting", 90), ("collecting", 40)]


def test_next_attempt_is_shown_from_its_start() -> None:
    steps = (running("collecting", 40), None, ("collecting", 50), None, running(None, 0, attempt=2), None)
    assert seen(*steps) == [("collecting", 40), ("collecting", 50), (None, 0)]


def test_requeued_job_is_shown_as_pending() -> None:
    jobs = shown(running(None, 0), None, ("collecting", 50), replace(PENDING, attempt=1), None)
    assert [job.status.value for job in jobs] == ["pending", "running", "running", "pending", "completed"]
