"""The use case: claim a job, analyse it, finish it. The database is asked twice, briefly; nothing is held between."""

import asyncio
import math
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import structlog

from domain.errors import CancelledByUserError, LeaseLostError, PermanentError, ServiceUnavailableError, TransientError
from domain.jobs import HEARTBEAT_SECONDS, LEASE_SECONDS, Claim, Job, JobStatus
from domain.retry import backoff_seconds
from domain.runs import NewRun, RunOrigin
from domain.sources import SourceKind, validate_source_metadata
from domain.text import JSON, one_line
from infrastructure.database.engine import Database
from infrastructure.database.repositories.attempts import CANCELLED, Released
from infrastructure.database.repositories.jobs import JobRepository
from infrastructure.database.repositories.runs import RunRepository
from infrastructure.failpoints import failpoint
from infrastructure.observability.prometheus_metrics import CLAIMS, FINISHED, JOB_SECONDS, WAITED, note_timings
from infrastructure.observability.tracing import NoTracer, Tracer, trace_id
from infrastructure.redis.queue import JobQueue
from infrastructure.redis.token_vault import TokenVault
from worker.analysis.pipeline import Pipeline, PipelineResult
from worker.analysis.timeline import Timeline
from worker.jobs.attempt_trace import record_attempt, traceparent_of
from worker.jobs.job_log import end_of_job_fields, queue_wait_ms
from worker.jobs.lease_keeper import LeaseKeeper

RETRY_SECONDS = 1.0
_TOO_LATE = "the lease was lost before the attempt's end could be noted"

T = TypeVar("T")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRunner:
    """What one job needs of the world."""

    database: Database
    queue: JobQueue
    vault: TokenVault
    leases: LeaseKeeper
    pipeline: Pipeline
    git: Mapping[str, JSON]
    """`allowed_hosts` and `ca_bundle`, for sources that are repositories."""
    on_webhook_due: Callable[[], None]
    """Called when a job has ended of whose end somebody wants to be told; its notice is written by then."""
    tracer: Tracer = field(default_factory=NoTracer)
    claiming: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run_next(self) -> bool:
        """Work on the fairest due job, if there is one; whether there was. Raises only what ends the worker."""
        claim = await self._claim()
        CLAIMS.labels("empty" if claim is None else "claimed").inc()
        if claim is None:
            return False
        job = claim.job
        WAITED.observe((queue_wait_ms(job) or 0) / 1000)
        timeline = Timeline()
        with structlog.contextvars.bound_contextvars(**_bound_to_log(job)):
            try:
                await self.leases.hold(claim, self._work(claim, timeline))
            except LeaseLostError as error:
                _note_end(timeline, "lost", reason=str(error))
                log.warning("job.lease_lost", reason=str(error))
            except PermanentError as error:
                await asyncio.shield(self._fail(claim, error, timeline))
            except asyncio.CancelledError:
                await asyncio.shield(self._requeue(claim, timeline))
                raise
            except Exception as error:  # noqa: BLE001 - a bug of ours costs an attempt, not the worker
                await asyncio.shield(self._retry(claim, error, timeline))
            finally:
                record_attempt(self.tracer, job, timeline)
        return True

    async def _claim(self) -> Claim | None:
        """One at a time: claims that are made together weigh the same rows, and get into each other's way."""
        async with self.claiming, self.database.statement() as work:
            return await JobRepository(work).claim_next(LEASE_SECONDS)

    async def _work(self, claim: Claim, timeline: Timeline) -> None:
        async def on_progress(progress: Mapping[str, JSON]) -> None:
            failpoint(f"stage-{progress['stage']}")
            self.leases.report(claim, progress)

        analysed = await self.pipeline.run(await self._source(claim), on_progress, timeline, facts_scope(claim.job))
        timeline.timings_ms = analysed.analysis.timings_ms
        await self._complete(claim, analysed, timeline)

    async def _source(self, claim: Claim) -> dict[str, JSON]:
        """The source as `worker.analysis.child_tasks.fetch` reads it: a large upload or a token is read only now.

        Here and in `_complete` nothing limits the insisting but the lease: its keeper ends the work with it.
        """
        metadata = claim.job.source_metadata
        validate_source_metadata(claim.job.source_kind, metadata)
        if claim.job.source_kind is SourceKind.UPLOAD:
            data = claim.file_data
            if data is None:
                data = await retry_while_unavailable(partial(self._file_data, claim), seconds=math.inf)
            return {"kind": "upload", "filename": metadata["upload_filename"], "file_data": data}
        token = None
        if metadata.get("has_token"):
            token = await retry_while_unavailable(partial(self.vault.get, claim.job.job_id), seconds=math.inf)
        return {
            "kind": "repository",
            "url": metadata["git_repo_url"],
            "branch": metadata.get("git_branch"),
            "token": token,
            **self.git,
        }

    async def _file_data(self, claim: Claim) -> str:
        too_much = 2 * self.pipeline.limits.max_upload_bytes  # in base64; whoever decodes it says that it is too large
        async with self.database.unit_of_work() as work:
            return await JobRepository(work).file_data(claim.job.job_id, claim.lease_token, most=too_much)

    async def _complete(self, claim: Claim, analysed: PipelineResult, timeline: Timeline) -> None:
        """The run's row and the job's end in one transaction, fenced: without the lease nothing is written."""
        job, fetched = claim.job, analysed.fetched
        origin = RunOrigin.of(job.source_kind, job.source_metadata, branch=fetched.branch, sha=fetched.commit_sha)
        run = NewRun(
            run_id=uuid.uuid4(),
            user_id=job.user_id,
            job_id=job.job_id,
            origin=origin,
            analysis=analysed.analysis,
            duration_ms=timeline.elapsed_ms,
        )

        async def write() -> None:
            async with self.database.unit_of_work() as work:
                await RunRepository(work).insert(run)
                if not await JobRepository(work).complete(job.job_id, claim.lease_token, run.run_id):
                    raise LeaseLostError("the result came too late and was not written")
                failpoint("before-commit")

        with timeline.span("finishing"):
            await retry_while_unavailable(write, seconds=math.inf)
        self.leases.release(claim)
        failpoint("committed")
        _note_end(timeline, "completed")
        JOB_SECONDS.observe(run.duration_ms / 1000)
        note_timings({**timeline.stages_ms(), **analysed.analysis.timings_ms})
        log.info("job.completed", **end_of_job_fields(job, timeline, outcome="completed", analysis=analysed.analysis))
        await self._after(claim, JobStatus.COMPLETED, None)

    async def _fail(self, claim: Claim, error: PermanentError, timeline: Timeline) -> None:
        message, kind = one_line(str(error)), type(error).__name__
        cancelled = isinstance(error, CancelledByUserError)

        async def write() -> bool:
            async with self.database.unit_of_work() as work:
                return await JobRepository(work).fail(
                    claim.job.job_id, claim.lease_token, kind, message, drop_data=cancelled
                )

        _note_end(timeline, "failed", kind, message)
        written = await self._written(write)
        if written:
            await self._failed(claim, timeline, kind, message)
        elif written is not None:
            log.warning("job.lease_lost", reason=_TOO_LATE)

    async def _failed(self, claim: Claim, timeline: Timeline, kind: str, message: str | None) -> None:
        outcome = "cancelled" if message == CANCELLED else "failed"
        log.info("job.failed", **end_of_job_fields(claim.job, timeline, outcome=outcome), kind=kind, reason=message)
        await self._after(claim, JobStatus.FAILED, message)

    async def _retry(self, claim: Claim, error: Exception, timeline: Timeline) -> None:
        """Back to pending with a delay, or failed when this was the last attempt."""
        expected, kind = isinstance(error, TransientError), type(error).__name__
        message = one_line(str(error) if expected else f"internal error: {kind}: {error}")
        log.warning("job.attempt_failed", kind=kind, reason=message, exc_info=None if expected else error)
        delay = backoff_seconds(len(claim.job.attempt_errors) + 1, random.random())  # nosec B311 # noqa: S311 - spreads load

        async def write() -> Released | None:
            async with self.database.unit_of_work() as work:
                return await JobRepository(work).retry_later(
                    claim.job.job_id, claim.lease_token, kind, message, delay_seconds=delay
                )

        again = await self._written(write)
        ended = again is not None and again.status is JobStatus.FAILED
        _note_end(timeline, "failed" if ended else "retried", kind, message)
        if again is None:
            log.warning("job.lease_lost", reason=_TOO_LATE)
        elif ended:
            await self._failed(claim, timeline, kind, again.error_message)
        else:
            await self._ring(claim, again.ring, delay)

    async def _requeue(self, claim: Claim, timeline: Timeline) -> None:
        """At shutdown: another replica takes it at once, and no attempt is spent."""

        async def write() -> int | None:
            async with self.database.unit_of_work() as work:
                return await JobRepository(work).hand_back(claim.job.job_id, claim.lease_token)

        _note_end(timeline, "requeued")
        ring = await self._written(write)
        if ring is not None:
            log.info("job.requeued")
            await self._ring(claim, ring, 0.0)

    async def _written(self, write: Callable[[], Awaitable[T]]) -> T | None:
        """What the write says; None when the database stays away: the lease runs out, and the rescue takes over."""
        try:
            return await retry_while_unavailable(write, seconds=LEASE_SECONDS - HEARTBEAT_SECONDS)
        except TransientError as error:
            log.warning("job.status_write_failed", reason=str(error))
            return None

    async def _ring(self, claim: Claim, ring: int, delay: float) -> None:
        try:
            await self.queue.enqueue(claim.job.job_id, ring, delay_seconds=delay)
        except TransientError:
            log.debug("queue.enqueue_failed")  # the sweep rings again

    async def _after(self, claim: Claim, status: JobStatus, message: str | None) -> None:
        """Tell listeners and forget the token. Hints and hygiene: neither may fail the job."""
        if claim.job.notify_url is not None:
            self.on_webhook_due()
        event = {"status": status, "stage": None, "progress": 100, "error_message": message}
        try:
            await self.queue.publish(claim.job.job_id, event)
            if claim.job.source_metadata.get("has_token"):
                await self.vault.delete(claim.job.job_id)
        except TransientError:
            log.debug("job.end_publish_failed")


def facts_scope(job: Job) -> tuple[str, ...]:
    """Return the user and source whose cached facts this job may use (see `worker.analysis.source_facts`)."""
    metadata = job.source_metadata
    if job.source_kind is SourceKind.UPLOAD:
        what = metadata.get("project_name") or metadata["upload_filename"]
    else:
        what = metadata["git_repo_url"]
    return str(job.user_id), str(job.source_kind), what


def _note_end(timeline: Timeline, outcome: str, kind: str = "", reason: str | None = None) -> None:
    timeline.outcome, timeline.reason = outcome, reason
    FINISHED.labels(outcome, kind).inc()


def _bound_to_log(job: Job) -> dict[str, JSON]:
    traceparent = traceparent_of(job.source_metadata)
    trace = {"trace_id": trace_id(traceparent)} if traceparent else {}
    return {"job_id": job.job_id, "attempt": job.attempt, "user_id": str(job.user_id), **trace}


async def retry_while_unavailable(write: Callable[[], Awaitable[T]], *, seconds: float) -> T:
    """Try again each second while the service is away. Raises the last ServiceUnavailableError after `seconds`."""
    give_up = time.monotonic() + seconds
    while True:
        try:
            return await write()
        except ServiceUnavailableError:
            if time.monotonic() + RETRY_SECONDS > give_up:
                raise
        await asyncio.sleep(RETRY_SECONDS)
