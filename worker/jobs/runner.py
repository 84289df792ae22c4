"""Running of one job: claim, fetch, collect, finish. No database connection is held between claim and finish."""

import asyncio
import base64
import math
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import structlog

from collectors.engine.collector_names import collector_names
from domain.errors import (
    AnalysisKilledError,
    CancelledByUserError,
    HandedBackError,
    LeaseLostError,
    PermanentError,
    TransientError,
)
from domain.jobs import HEARTBEAT_SECONDS, LEASE_SECONDS, Claim, Job, JobStatus, backoff_seconds
from domain.options import JobOptions
from domain.runs import NewRun, RunOrigin
from domain.selection import SELECTION
from domain.sources import SourceKind, validate_source_metadata
from domain.statistics.ends import Outcome
from domain.text import JSON, one_line
from infrastructure.child_process.cancellation import finish_despite_cancellation
from infrastructure.database.engine import Database
from infrastructure.database.repositories.attempt_ends import AttemptEnd, EndResult
from infrastructure.database.repositories.attempts import CANCELLED, AttemptRepository, ReleasedJob
from infrastructure.database.repositories.claims import ClaimRepository
from infrastructure.database.repositories.runs import SerializedRun
from infrastructure.failpoints import failpoint
from infrastructure.observability.prometheus_metrics import (
    ATTEMPTS_FINISHED,
    CLAIMS,
    JOB_DURATION,
    JOB_WAIT,
    observe_timings,
)
from infrastructure.observability.tracing import NoTracer, Tracer, trace_id
from infrastructure.redis.event_publisher import EventPublisher
from infrastructure.redis.queue import JobQueue
from infrastructure.redis.token_vault import TokenVault
from infrastructure.sources.git.added_lines import ADDED_SINCE
from worker.analysis.pipeline import Pipeline, PipelineResult
from worker.analysis.timeline import Timeline
from worker.jobs.attempt_trace import record_attempt, traceparent_of
from worker.jobs.end_batcher import EndBatcher
from worker.jobs.job_log import end_of_job_fields, queue_wait_ms
from worker.jobs.lease_keeper import LeaseKeeper
from worker.jobs.room_elsewhere import RoomElsewhere
from worker.jobs.run_review import RunReviewer
from worker.retry import RETRY_SECONDS, OutageTimer, retry_while_unavailable

WRITE_SECONDS = LEASE_SECONDS - HEARTBEAT_SECONDS - RETRY_SECONDS
"""Outage during which the end of an attempt is written again: after that the lease runs out anyway."""

_LEASE_LOST = "the lease was lost before the end of the attempt was written"

T = TypeVar("T")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRunner:
    """Claims and runs jobs with the services that it is given."""

    worker_id: str
    database: Database
    ends: EndBatcher
    queue: JobQueue
    events: EventPublisher
    vault: TokenVault
    leases: LeaseKeeper
    pipeline: Pipeline
    reviewer: RunReviewer
    git: Mapping[str, JSON]
    """`allowed_hosts` and `ca_bundle`, for repositories."""
    room_elsewhere: RoomElsewhere
    on_hand_back: Callable[[], None]
    """Called when a job goes back to the queue for another worker."""
    on_webhook_due: Callable[[], None]
    """Called when the end of a job has stored a webhook delivery that is due."""
    on_tracked_end: Callable[[], None]
    """Called when the job of a tracked repository has ended."""
    tracer: Tracer = field(default_factory=NoTracer)

    async def claim(self, limit: int, *, only_small: bool = False, share: int = 1) -> Sequence[Claim]:
        """Claim up to `limit` due jobs, the lowest turns first. Raises TransientError.

        With `share` more than 1, each small upload brings up to `share` - 1 of its user's next ones along.
        """
        async with self.database.driver() as work:
            claims = await ClaimRepository(work).claim(
                limit, worker_id=self.worker_id, lease_seconds=LEASE_SECONDS, only_small=only_small, share=share
            )
        if claims:
            CLAIMS.labels("claimed").inc(len(claims))
        else:
            CLAIMS.labels("empty").inc()
        return claims

    async def assign_turns(self, limit: int) -> int:
        """Give up to `limit` due jobs without a turn theirs, and return how many. Raises TransientError."""
        async with self.database.driver() as work:
            return await ClaimRepository(work).assign_turns(limit)

    async def run(self, claim: Claim, *, express: bool = False, on_ending: Callable[[], None] = lambda: None) -> None:
        """Run a claimed job to its end; an `express` job does not wait for a core.

        `on_ending` is called when its work is done and only the run and the end are left to write; for a small job also
        before the run is reviewed.

        Raises CancelledError, after the job was requeued. Failures of the job itself are written to its row.
        """
        failpoint("claimed")
        job = claim.job
        JOB_WAIT.observe((queue_wait_ms(job) or 0) / 1000)
        timeline = Timeline()
        with structlog.contextvars.bound_contextvars(**_bound_to_log(job)):
            try:
                await self.leases.hold(claim, self._run(claim, timeline, express=express, on_ending=on_ending))
            except LeaseLostError as error:
                _record_end(timeline, "lost", reason=str(error))
                log.warning("job.lease_lost", reason=str(error))
            except HandedBackError:
                self.on_hand_back()
                await finish_despite_cancellation(self._requeue(claim, timeline))
            except PermanentError as error:
                await finish_despite_cancellation(self._fail(claim, error, timeline))
            except asyncio.CancelledError:
                await finish_despite_cancellation(self._requeue(claim, timeline))
                raise
            except Exception as error:  # noqa: BLE001 - a bug costs an attempt and not the worker
                permanent = _timed_out_again(job, error)
                end = (
                    self._retry(claim, error, timeline) if permanent is None else self._fail(claim, permanent, timeline)
                )
                await finish_despite_cancellation(end)
            finally:
                record_attempt(self.tracer, job, timeline)

    async def _run(self, claim: Claim, timeline: Timeline, *, express: bool, on_ending: Callable[[], None]) -> None:
        async def on_progress(progress: Mapping[str, JSON]) -> None:
            failpoint(f"stage-{progress['stage']}")
            self.leases.report(claim, progress)

        options = JobOptions.from_json(claim.job.options, collector_names())
        result = await self.pipeline.run(
            await self._source(claim, options),
            on_progress,
            timeline,
            facts_scope(claim.job),
            turn=claim.job.turn or 0,
            express=express,
            while_waiting=partial(self._hand_back_if_others_have_room, claim),
        )
        timeline.timings_ms = result.analysis.timings_ms
        await self._complete(claim, options, result, timeline, on_ending)

    async def _hand_back_if_others_have_room(self, claim: Claim) -> None:
        """Raise HandedBackError when another worker has room, once in a job's life. Runs while it waits for a core."""
        if claim.previous_worker is None:
            await self.room_elsewhere.wait()
            raise HandedBackError("another worker has room")

    async def _source(self, claim: Claim, options: JobOptions) -> dict[str, JSON]:
        """Return the source as `worker.analysis.child_tasks.fetch` expects it, with what is to be measured of it."""
        return {**await self._origin(claim, options), SELECTION: options.selection.to_json()}

    async def _origin(self, claim: Claim, options: JobOptions) -> dict[str, JSON]:
        """Return the source with the upload's data or the token.

        The retries have no time limit: when the lease is lost, the lease keeper cancels them.
        """
        metadata = claim.job.source_metadata
        validate_source_metadata(claim.job.source_kind, metadata)
        if claim.job.source_kind is SourceKind.UPLOAD:
            if claim.upload is not None:
                data = base64.b64encode(claim.upload).decode()
            else:
                data = await retry_while_unavailable(partial(self._upload, claim), OutageTimer(math.inf))
            return {"kind": "upload", "filename": metadata["upload_filename"], "file_data": data}
        likely = partial(self.reviewer.baseline_commits, claim.job, options)
        commits = await retry_while_unavailable(likely, OutageTimer(math.inf))
        token = None
        if metadata.get("has_token"):
            token = await retry_while_unavailable(partial(self.vault.get, claim.job.job_id), OutageTimer(math.inf))
        return {
            "kind": "repository",
            "url": metadata["git_repo_url"],
            "branch": metadata.get("git_branch"),
            "token": token,
            ADDED_SINCE: commits,
            **self.git,
        }

    async def _upload(self, claim: Claim) -> str:
        # Base64 takes less than twice the limit. A longer text is cut, and the decoder then reports the upload's size.
        max_characters = 2 * self.pipeline.limits.max_upload_bytes
        async with self.database.unit_of_work() as work:
            return await AttemptRepository(work).upload(claim.job.job_id, claim.lease_token, limit=max_characters)

    async def _complete(
        self,
        claim: Claim,
        options: JobOptions,
        result: PipelineResult,
        timeline: Timeline,
        on_ending: Callable[[], None],
    ) -> None:
        """Write the run and the job's end in one transaction; without the lease nothing is written.

        The write is repeated until PostgreSQL answers: only its answer says whether the lease still held.
        """
        job = claim.job
        gave_room = job.small and self.ends.takes_small()
        if gave_room:
            on_ending()
            await asyncio.sleep(0)  # the next claim is sent first: a batch of reviews would delay it
        run = _new_run(job, options, result)
        review = partial(self.reviewer.review, run, job, options, result.added_lines)
        run = await retry_while_unavailable(review, OutageTimer(math.inf))
        run = replace(run, duration_ms=timeline.elapsed_ms)
        end = AttemptEnd(claim=claim, run=SerializedRun.of(run))
        self.leases.start_ending(claim)
        if not gave_room and self.ends.takes(end):
            on_ending()
        with timeline.span("finishing"):
            outcome = await retry_while_unavailable(partial(self.ends.write, end), OutageTimer(math.inf))
        self.leases.release(claim)
        failpoint("committed")
        if outcome is EndResult.LOST:
            raise LeaseLostError("the result came too late and was not written")
        if outcome is EndResult.CANCELLED:
            _record_end(timeline, "failed", CancelledByUserError.__name__, CANCELLED)
            await self._report_failed(claim, timeline, CancelledByUserError.__name__, CANCELLED)
            return
        _record_end(timeline, "completed")
        JOB_DURATION.observe(run.duration_ms / 1000)
        observe_timings({**timeline.stages_ms(), **result.analysis.timings_ms}, collector_names())
        log.info("job.completed", **end_of_job_fields(job, timeline, outcome="completed", analysis=result.analysis))
        await self._announce_end(claim, JobStatus.COMPLETED, None)

    async def _fail(self, claim: Claim, error: PermanentError, timeline: Timeline) -> None:
        message, kind = one_line(str(error)), type(error).__name__
        if isinstance(error, CancelledByUserError):
            message = CANCELLED
        end = AttemptEnd(claim=claim, kind=kind, message=message)
        outcome = await self._write_end(partial(self.ends.write, end))
        if outcome is EndResult.CANCELLED:
            message, kind = CANCELLED, CancelledByUserError.__name__
        _record_end(timeline, "failed", kind, message)
        if outcome is EndResult.LOST:
            log.warning("job.lease_lost", reason=_LEASE_LOST)
        elif outcome is not None:
            await self._report_failed(claim, timeline, kind, message)

    async def _report_failed(self, claim: Claim, timeline: Timeline, kind: str, message: str | None) -> None:
        """Log and announce that the job has failed for good."""
        outcome = "cancelled" if message == CANCELLED else "failed"
        log.info("job.failed", **end_of_job_fields(claim.job, timeline, outcome=outcome), kind=kind, reason=message)
        await self._announce_end(claim, JobStatus.FAILED, message)

    async def _retry(self, claim: Claim, error: Exception, timeline: Timeline) -> None:
        """Make the job pending again after a delay, or failed if this was its last attempt."""
        expected, kind = isinstance(error, TransientError), type(error).__name__
        message = one_line(str(error) if expected else f"internal error: {kind}: {error}")
        log.warning("job.attempt_failed", kind=kind, reason=message, exc_info=None if expected else error)
        delay = backoff_seconds(len(claim.job.attempt_errors) + 1, random.random())  # nosec B311 # noqa: S311 - jitter

        async def write() -> ReleasedJob | None:
            async with self.database.unit_of_work() as work:
                return await AttemptRepository(work).retry_later(
                    claim.job.job_id,
                    claim.lease_token,
                    kind,
                    message,
                    delay_seconds=delay,
                    our_fault=not isinstance(error, AnalysisKilledError),
                )

        released = await self._write_end(write)
        ended = released is not None and released.status is JobStatus.FAILED
        _record_end(timeline, "failed" if ended else "retried", kind, message)
        if released is None:
            log.warning("job.lease_lost", reason=_LEASE_LOST)
        elif ended:
            await self._report_failed(claim, timeline, kind, released.error_message)
        else:
            await self._enqueue(claim, delay)

    async def _requeue(self, claim: Claim, timeline: Timeline) -> None:
        """Make the job pending again at shutdown. Another worker may claim it at once; no attempt is counted."""

        async def write() -> ReleasedJob | None:
            async with self.database.unit_of_work() as work:
                return await AttemptRepository(work).requeue(claim.job.job_id, claim.lease_token)

        _record_end(timeline, "requeued")
        released = await self._write_end(write)
        if released is not None and released.status is JobStatus.PENDING:
            log.info("job.requeued")
            await self._enqueue(claim, 0.0)

    async def _write_end(self, write: Callable[[], Awaitable[T]]) -> T | None:
        """Write the end of an attempt. Returns None if the database stays unavailable; the job is then rescued."""
        try:
            return await retry_while_unavailable(write, OutageTimer(WRITE_SECONDS, started_at=time.monotonic()))
        except TransientError as error:
            log.warning("job.status_write_failed", reason=str(error))
            return None

    async def _enqueue(self, claim: Claim, delay: float) -> None:
        try:
            await self.queue.enqueue([claim.job.job_id], delay_seconds=delay)
        except TransientError:
            log.debug("queue.enqueue_failed")  # idle workers look for due jobs anyway

    async def _announce_end(self, claim: Claim, status: JobStatus, message: str | None) -> None:
        """Publish the job's end and delete its token. Errors are only logged, because the job itself has ended."""
        if claim.job.notify_url is not None:
            self.on_webhook_due()
        if "repository_id" in claim.job.options:
            self.on_tracked_end()
        event = {"status": status, "stage": None, "progress": 100, "error_message": message}
        outcome = Outcome.CANCELLED if message == CANCELLED else Outcome(status)
        self.events.publish(claim.job.job_id, event, outcome)
        if claim.job.source_metadata.get("has_token"):
            try:
                await self.vault.delete(claim.job.job_id)
            except TransientError:
                log.debug("token.delete_failed", job_id=claim.job.job_id)


def facts_scope(job: Job) -> tuple[str, ...]:
    """Return the user and source whose cached facts this job may use (see `worker.analysis.facts.source_facts`)."""
    metadata = job.source_metadata
    if job.source_kind is SourceKind.UPLOAD:
        what = metadata.get("project_name") or metadata["upload_filename"]
    else:
        what = metadata["git_repo_url"]
    return str(job.user_id), str(job.source_kind), what


def _new_run(job: Job, options: JobOptions, result: PipelineResult) -> NewRun:
    """Return the run without its review and its duration."""
    fetched = result.fetched
    origin = RunOrigin.from_source(job.source_kind, job.source_metadata, branch=fetched.branch, sha=fetched.commit_sha)
    return NewRun(
        run_id=uuid.uuid4(),
        user_id=job.user_id,
        job_id=job.job_id,
        origin=origin,
        analysis=result.analysis,
        duration_ms=0,
        on_default_branch=None if origin.git_branch is None else job.source_metadata.get("git_branch") is None,
        options=options.of_run(),
        tags=options.tags,
    )


def _timed_out_again(job: Job, error: Exception) -> PermanentError | None:
    """Return the permanent failure of a job whose time was not enough in an earlier attempt either; None for others."""
    if not isinstance(error, AnalysisKilledError) or not error.timed_out:
        return None
    before = any(earlier.message == one_line(str(error)) for earlier in job.attempt_errors)
    return PermanentError(f"{error}, as in an earlier attempt") if before else None


def _record_end(timeline: Timeline, outcome: str, kind: str = "", reason: str | None = None) -> None:
    timeline.outcome, timeline.reason = outcome, reason
    ATTEMPTS_FINISHED.labels(outcome, kind).inc()


def _bound_to_log(job: Job) -> dict[str, JSON]:
    traceparent = traceparent_of(job.source_metadata)
    trace = {"trace_id": trace_id(traceparent)} if traceparent else {}
    return {"job_id": job.job_id, "attempt": job.attempt, "user_id": str(job.user_id), **trace}
