"""Submissions: validate them, insert their jobs in one transaction, and enqueue the jobs after the commit."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import urlsplit
from uuid import UUID

from collectors.engine.collector_names import collector_names
from domain.audit import Actor
from domain.errors import InvalidInputError
from domain.jobs import Job
from domain.options import JobOptions
from domain.plans import Plans
from domain.runs import RunOrigin
from domain.sources import Authorship, Repository, SourceKind, Upload, normalize_repository_url, validate_branch_name
from domain.text import JSON, one_line
from domain.tracking.repository import RepositoryNames
from domain.webhooks import is_allowed_host, notify_url
from infrastructure.database.evaluations.evaluations import EvaluationRepository, NewEvaluation
from infrastructure.database.repositories.runs import RunRepository
from infrastructure.database.repositories.submissions import NewJob, SubmissionRepository, Submitted
from infrastructure.database.tracking.repositories import TrackedRepositories
from infrastructure.observability.tracing import NoTracer, Tracer
from infrastructure.outbound.public_addresses import is_public_address, parse_ip_literal
from infrastructure.settings import Settings
from worker.client.accounts.ownership import owned_repository, owned_run
from worker.client.connections import Connections
from worker.jobs.attempt_trace import TRACEPARENT

MAX_SUBMISSIONS = 1_000
MAX_TOTAL_MB = 64
"""Limit of all uploads of one call together, before base64. One SQL statement carries them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSubmission:
    """One `.py` or `.zip` file. A webhook is sent to `notify_url` when the job ends.

    `options` name the run to compare with, and the policy of the quality gate.
    """

    filename: str
    content: bytes = field(repr=False)
    authorship: Authorship = field(default_factory=Authorship)
    idempotency_key: str | None = None
    notify_url: str | None = None
    options: JobOptions = field(default_factory=JobOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositorySubmission:
    """A git repository; None as `branch` means its default branch. The token is stored in Redis only, encrypted."""

    url: str
    branch: str | None = None
    token: str | None = field(default=None, repr=False)
    authorship: Authorship = field(default_factory=Authorship)
    idempotency_key: str | None = None
    notify_url: str | None = None
    options: JobOptions = field(default_factory=JobOptions)


Submission = UploadSubmission | RepositorySubmission


def job_options_from_json(document: Mapping[str, JSON]) -> JobOptions:
    """Read the options of a job that another program wrote. Raises InvalidInputError, in one line."""
    return JobOptions.from_json(document, collector_names())


def new_job(submission: Submission, settings: Settings) -> NewJob:
    """Validate a submission and return its row. Raises InvalidInputError."""
    if isinstance(submission, UploadSubmission):
        _validate_upload(submission, settings)
        kind, upload = SourceKind.UPLOAD, submission.content
        metadata = Upload(filename=submission.filename, authorship=submission.authorship).metadata()
    else:
        kind, upload = SourceKind.GITHUB, None
        metadata = {**_validate_repository(submission, settings).metadata(), "has_token": submission.token is not None}
    return NewJob(
        job_id=uuid.uuid4().hex,
        source_kind=kind,
        source_metadata=metadata,
        upload=upload,
        idempotency_key=submission.idempotency_key,
        notify_url=None if submission.notify_url is None else validate_notify_url(submission.notify_url, settings),
        options=JobOptions.from_json(submission.options.to_json(), collector_names()),
    )


def _validate_upload(submission: UploadSubmission, settings: Settings) -> None:
    limit, name, size = settings.plans.upload_bytes, one_line(submission.filename, 80), len(submission.content)
    if not submission.filename.lower().endswith((".py", ".zip")):
        raise InvalidInputError(f"{name!r} is neither a .py nor a .zip file")
    if not size:
        raise InvalidInputError(f"{name!r} is empty")
    if size > limit:
        raise InvalidInputError(f"{name!r} ({size} bytes) is larger than {limit // 1024**2} MB (MAX_UPLOAD_MB)")


def _validate_repository(submission: RepositorySubmission, settings: Settings) -> Repository:
    return Repository(
        url=normalize_repository_url(submission.url, settings.git_allowed_hosts),
        branch=None if submission.branch is None else validate_branch_name(submission.branch),
        authorship=submission.authorship,
    )


def validate_notify_url(url: str, settings: Settings) -> str:
    """Return the URL if signed webhooks may go there. Raises InvalidInputError."""
    if not settings.webhook_secrets:
        raise InvalidInputError("no webhook can be signed: WEBHOOK_SECRETS is not set")
    checked = notify_url(url, settings.webhook_allowed_hosts)
    address = parse_ip_literal(urlsplit(checked).hostname or "")
    if (
        address is not None
        and not is_public_address(address)
        and not is_allowed_host(checked, settings.webhook_allowed_hosts)
    ):
        raise InvalidInputError(
            "the notify URL names a private address, which is refused unless WEBHOOK_ALLOWED_HOSTS lists it"
        )
    return checked


class SubmittedEvaluation(Protocol):
    """The evaluation whose members are submitted."""

    @property
    def evaluation_id(self) -> UUID:
        """The id that the options of its members name."""

    def row(self, user_id: UUID, jobs: Sequence[Job]) -> NewEvaluation:
        """Return the row to insert; `jobs` are those of its members, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitter:
    """Inserts submissions as pending jobs and enqueues them."""

    connections: Connections
    settings: Settings
    plans: Plans
    tracer: Tracer = field(default_factory=NoTracer)
    actor: Actor = field(default_factory=Actor)

    async def submit(
        self, user_id: UUID, submissions: Sequence[Submission], evaluation: SubmittedEvaluation | None = None
    ) -> list[Job]:
        """Submit all or none; see `worker.client.Client.submit_many`.

        With an `evaluation`, the jobs are its members, and its row is inserted in their transaction.
        """
        _require_evaluation(submissions, None if evaluation is None else evaluation.evaluation_id)
        new = self._new_jobs(submissions)
        with self.tracer.span("submit", {"vibe8.jobs": len(new)}) as traceparent:
            if traceparent is not None:
                new = [_with_traceparent(job, traceparent) for job in new]
            return await self._submit(user_id, submissions, new, evaluation)

    async def _submit(
        self,
        user_id: UUID,
        submissions: Sequence[Submission],
        new: Sequence[NewJob],
        evaluation: SubmittedEvaluation | None,
    ) -> list[Job]:
        tokens = {
            job.job_id: submission.token
            for job, submission in zip(new, submissions, strict=True)
            if isinstance(submission, RepositorySubmission) and submission.token is not None
        }
        created: list[Job] = []
        try:
            for job_id, token in tokens.items():
                await self.connections.vault.put(job_id, token)  # before the insert: a worker may claim the job at once
            submitted = await self._insert(user_id, new, evaluation)
            created = [each.job for each in submitted if each.created]
        finally:
            for job_id in tokens.keys() - {job.job_id for job in created}:
                await self.connections.delete_token(job_id)
        await self.connections.enqueue(created)
        return [each.job for each in submitted]

    def _new_jobs(self, submissions: Sequence[Submission]) -> list[NewJob]:
        if len(submissions) > MAX_SUBMISSIONS:
            raise InvalidInputError(
                f"{len(submissions)} submissions are more than {MAX_SUBMISSIONS} at once; submit them in parts"
            )
        size = sum(len(each.content) for each in submissions if isinstance(each, UploadSubmission))
        if len(submissions) > 1 and size > MAX_TOTAL_MB * 1024 * 1024:
            raise InvalidInputError(
                f"the uploads ({size} bytes) are more than {MAX_TOTAL_MB} MB together; submit them in parts"
            )
        return [_new_job_at(submissions, index, self.settings) for index in range(len(submissions))]

    async def _insert(
        self, user_id: UUID, new: Sequence[NewJob], evaluation: SubmittedEvaluation | None
    ) -> list[Submitted]:
        async with self.connections.database.unit_of_work() as work:
            for job in new:
                if job.options.baseline is not None:
                    await _require_baseline(RunRepository(work), user_id, job)
                if job.options.repository_id is not None:
                    await _require_repository(TrackedRepositories(work), user_id, job)
            submitted = await SubmissionRepository(work).submit(user_id, new, self.plans, self.actor)
            if evaluation is not None:
                jobs = [each.job for each in submitted]
                await EvaluationRepository(work).insert(evaluation.row(user_id, jobs), self.actor)
            return submitted


def _require_evaluation(submissions: Sequence[Submission], evaluation_id: UUID | None) -> None:
    """Raise InvalidInputError for a job that would join another evaluation than that of its submission."""
    for submission in submissions:
        if submission.options.evaluation_id != evaluation_id:
            raise InvalidInputError("the option evaluation_id cannot be given: the evaluation's own submission sets it")


async def _require_baseline(runs: RunRepository, user_id: UUID, job: NewJob) -> None:
    """Raise NotFoundError, ForbiddenError or InvalidInputError where a job names a run that cannot be its baseline."""
    run_id = job.options.baseline
    assert run_id is not None  # nosec B101 # noqa: S101 - the caller looked
    baseline = owned_run(await runs.summary(run_id), user_id)
    origin = RunOrigin.from_source(job.source_kind, job.source_metadata, branch=None, sha=None)
    if origin.project is None or origin.project != baseline.origin.project:
        raise InvalidInputError(f"run {run_id} cannot be the baseline: it is of another project")


async def _require_repository(repositories: TrackedRepositories, user_id: UUID, job: NewJob) -> None:
    """Raise NotFoundError, ForbiddenError or InvalidInputError where a job names a repository that is not its own."""
    repository_id = job.options.repository_id
    assert repository_id is not None  # nosec B101 # noqa: S101 - the caller looked
    repository = owned_repository(await repositories.get(repository_id), user_id)
    url = job.source_metadata.get("git_repo_url")
    if url is None or RepositoryNames.of(url).url != repository.url:
        raise InvalidInputError(f"the job is not of the tracked repository {repository_id}: it has another URL")


def _with_traceparent(job: NewJob, traceparent: str) -> NewJob:
    """Store the trace context in the job's row, where every attempt reads it."""
    return replace(job, source_metadata={**job.source_metadata, TRACEPARENT: traceparent})


def _new_job_at(submissions: Sequence[Submission], index: int, settings: Settings) -> NewJob:
    try:
        return new_job(submissions[index], settings)
    except InvalidInputError as error:
        if len(submissions) == 1:
            raise
        raise InvalidInputError(f"submission {index + 1} of {len(submissions)}: {error}") from None
