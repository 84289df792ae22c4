"""When a job whose work is done gives its room to the next one."""

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any
from unittest.mock import Mock

import pytest

from domain.jobs import Claim, Job, JobStatus
from domain.metrics.report import Analysis
from domain.runs import NewRun
from domain.sources import FetchedSource, SourceKind
from infrastructure.database.repositories.attempt_ends import AttemptEnd, EndResult
from worker.analysis.pipeline import PipelineResult
from worker.jobs.lease_keeper import LeaseKeeper
from worker.jobs.run_review import RunReviewer
from worker.jobs.runner import JobRunner


class Pipeline:
    """Analyses nothing, at once."""

    async def run(self, *_: Any, **__: Any) -> PipelineResult:
        analysis = Analysis(
            metrics={"size": {"files": 1, "sloc": 1, "avg_file_sloc": 1}},
            file_tree={},
            findings={},
            errors=[],
            completeness={"files": 1, "analyzed": 1, "skipped": [], "collectors": {}},
            tool_versions={},
            history={},
            timings_ms={},
        )
        return PipelineResult(analysis=analysis, fetched=FetchedSource(has_history=False))


class Ends:
    """Writes ends at once; `log` has what happened."""

    def __init__(self, *, takes: bool) -> None:
        self._takes = takes
        self.log: list[str] = []

    def takes(self, _: AttemptEnd) -> bool:
        return self._takes

    def takes_small(self) -> bool:
        return self._takes

    async def write(self, _: AttemptEnd) -> EndResult:
        self.log.append("written")
        return EndResult.WRITTEN


class Reviewer(RunReviewer):
    """Notes in the log of the ends when it reviews."""

    def __init__(self, ends: Ends) -> None:
        super().__init__(Mock())
        object.__setattr__(self, "ends", ends)

    async def review(self, run: NewRun, *_: Any) -> NewRun:
        self.ends.log.append("reviewed")  # type: ignore[attr-defined]
        return run


def claim(*, small: bool) -> Claim:
    now = datetime.now(UTC)
    job = Job(
        job_id="a" * 32,
        user_id=uuid.uuid4(),
        status=JobStatus.RUNNING,
        source_kind=SourceKind.UPLOAD,
        source_metadata={"upload_filename": "a.py"},
        result_run_id=None,
        error_message=None,
        created_at=now,
        updated_at=now,
        attempt=1,
        run_after=now,
        progress=0,
        stage=None,
        started_at=now,
        finished_at=None,
        attempt_errors=(),
        cancel_requested_at=None,
        idempotency_key=None,
        notify_url=None,
        turn=1,
        small=small,
        worker_id="w",
    )
    return Claim(job=job, lease_token=uuid.uuid4(), upload=b"x = 1\n")


@pytest.mark.parametrize(
    ("small", "takes", "log"),
    [
        (True, True, ["room", "next claim", "reviewed", "written"]),
        (True, False, ["reviewed", "written"]),
        (False, True, ["reviewed", "room", "written"]),
        (False, False, ["reviewed", "written"]),
    ],
)
async def test_a_job_gives_its_room_away_before_its_end_is_written_if_the_end_is_taken(
    small: bool, takes: bool, log: list[str]
) -> None:
    ends, services = Ends(takes=takes), Mock()
    runner = JobRunner(
        worker_id="w",
        database=services,
        ends=ends,  # type: ignore[arg-type]
        queue=services,
        events=services,
        vault=services,
        leases=LeaseKeeper(services, services),
        pipeline=Pipeline(),  # type: ignore[arg-type]
        reviewer=Reviewer(ends),
        git={},
        room_elsewhere=services,
        on_hand_back=services,
        on_webhook_due=services,
        on_tracked_end=services,
    )

    def on_ending() -> None:
        ends.log.append("room")
        if small:
            asyncio.get_running_loop().call_soon(ends.log.append, "next claim")

    await runner.run(claim(small=small), on_ending=on_ending)
    assert ends.log == log
