"""Client of the job system, for an API: submit, watch, take, cancel, and the history of runs.

    async with Client.open(load_settings()) as client:
        user_id = await client.get_or_create_user("ann@example.org")
        job = await client.submit_upload(user_id, filename="code.zip", content=data)
        ...
        result = await client.take_result(user_id, job.job_id)

Every call about a job or a run takes the id of the user who makes it, and refuses what belongs to another user.
It raises the errors of `domain.errors`: InvalidInputError and LimitExceededError (the submitter can correct them),
NotFoundError and ForbiddenError (an API that must not reveal which ids exist answers both in the same way), and
ServiceUnavailableError (try again later).
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, nullcontext
from datetime import timedelta
from types import MappingProxyType
from typing import Self
from uuid import UUID

from domain.audit import Actor
from domain.findings.roles import Role
from domain.findings.selection import FindingFilter
from domain.findings.severity import FindingSeverity
from domain.findings.states import FindingState
from domain.jobs import Job, JobCursor, JobStatus
from domain.options import JobOptions
from domain.runs import Run, RunCursor, RunSummary
from domain.sources import Authorship
from domain.tags import Tags
from domain.text import JSON
from domain.webhooks import WebhookDelivery
from infrastructure.database.repositories.users import UserRepository
from infrastructure.observability.tracing import NoTracer, Tracer
from infrastructure.outbound.webhook_sender import derive_user_secret
from infrastructure.settings import Settings
from worker.client.accounts.user_deletion import delete_user
from worker.client.connections import Connections, environment_tracer, open_connections
from worker.client.jobs.owned_jobs import OwnedJobs
from worker.client.jobs.submissions import (
    RepositorySubmission,
    Submission,
    Submitter,
    UploadSubmission,
)
from worker.client.results import FindingPage, JobResult, Page, ProjectTrend, RunComparison
from worker.client.runs.owned_runs import OwnedRuns, RunChoice
from worker.client.subjects import Subjects
from worker.export.export_format import ExportFormat


class Client(Subjects):
    """What one API may do for its users. Safe for concurrent tasks of one event loop.

    Some subjects have a client of their own, which is an attribute: `client.keys.create(...)`.
    """

    def __init__(
        self,
        connections: Connections,
        settings: Settings,
        tracer: Tracer | None = None,
        actor: Actor = Actor(),  # noqa: B008 - frozen
    ) -> None:
        self._connections, self._settings, self._tracer = connections, settings, tracer or NoTracer()
        self._database, self._actor = connections.database, actor
        plans = settings.plans
        self._jobs = OwnedJobs(connections, plans, actor)
        self._runs = OwnedRuns(connections.database, actor)
        self._webhook_secrets = settings.webhook_secrets
        self._submitter = Submitter(
            connections=connections, settings=settings, plans=plans, tracer=self._tracer, actor=actor
        )
        super().__init__(connections, self._submitter, actor)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings, tracer: Tracer | None = None, *, lazy_redis: bool = False
    ) -> AsyncIterator[Self]:
        """Connect to PostgreSQL and Redis, and disconnect at the end. Raises ServiceUnavailableError.

        Without a `tracer`, the one that the environment configures is used. With `lazy_redis`, Redis is contacted by
        the first call that needs it; calls that only read jobs and runs never do.
        """
        async with (
            environment_tracer() if tracer is None else nullcontext(tracer) as used,
            open_connections(settings, lazy_redis=lazy_redis) as connections,
        ):
            yield cls(connections, settings, used)

    def for_request(self, address: str | None, user_agent: str | None = None) -> Self:
        """Return a client on the same connections whose acts have this address and agent in the audit log.

        `address` is that of the one who made the request to the API; one that is no IP address is stored as null.
        """
        actor = Actor.from_request(address, user_agent)
        return type(self)(self._connections, self._settings, self._tracer, actor)

    # Users

    async def get_or_create_user(self, email: str, auth0_sub: str | None = None) -> UUID:
        """Return the user's id, and create the user if necessary. Safe under concurrent calls.

        `auth0_sub` is an identity that stays when the email changes. Raises InvalidInputError for an invalid email or
        identity, and ForbiddenError where the email belongs to another identity.
        """
        async with self._database.unit_of_work() as work:
            return await UserRepository(work).get_or_create(email, auth0_sub)

    async def delete_user(self, user_id: UUID) -> None:
        """Delete the user with all runs and jobs. Workers stop the running ones. Raises NotFoundError.

        Entries in the audit log stay, with the user's id and without address and agent.
        Many rows are deleted in chunks, the user last: if the call fails or is interrupted, call it again.
        """
        await delete_user(self._connections, user_id, by_operator=self._actor.operator)

    # Submissions

    async def submit_upload(
        self,
        user_id: UUID,
        *,
        filename: str,
        content: bytes,
        authorship: Authorship = Authorship(),  # noqa: B008 - frozen
        idempotency_key: str | None = None,
        notify_url: str | None = None,
        options: JobOptions = JobOptions(),  # noqa: B008 - frozen
    ) -> Job:
        """Submit one `.py` or `.zip` file.

        A second call with the same user and `idempotency_key` returns the first call's job, for as long as its row
        exists. When the job ends, a signed webhook is sent to `notify_url`. `options` name the run to compare with, and
        the policy of the quality gate. Raises InvalidInputError, LimitExceededError, NotFoundError (no such user or
        baseline), ForbiddenError (the baseline is another user's), ServiceUnavailableError.
        """
        submission = UploadSubmission(
            filename=filename,
            content=content,
            authorship=authorship,
            idempotency_key=idempotency_key,
            notify_url=notify_url,
            options=options,
        )
        return (await self.submit_many(user_id, [submission]))[0]

    async def submit_repository(
        self,
        user_id: UUID,
        *,
        url: str,
        branch: str | None = None,
        token: str | None = None,
        authorship: Authorship = Authorship(),  # noqa: B008 - frozen
        idempotency_key: str | None = None,
        notify_url: str | None = None,
        options: JobOptions = JobOptions(),  # noqa: B008 - frozen
    ) -> Job:
        """Submit a git repository. Without `branch`, its default branch is analysed. See `submit_upload` for the rest.

        A `token` is stored in Redis only, encrypted, for TOKEN_TTL seconds. Raises as `submit_upload`; with a token,
        ServiceUnavailableError also when only Redis is unreachable, because the job would fail without its token.
        """
        submission = RepositorySubmission(
            url=url,
            branch=branch,
            token=token,
            authorship=authorship,
            idempotency_key=idempotency_key,
            notify_url=notify_url,
            options=options,
        )
        return (await self.submit_many(user_id, [submission]))[0]

    async def submit_many(self, user_id: UUID, submissions: Sequence[Submission]) -> list[Job]:
        """Submit all of them in one transaction, or none. Returns the jobs in the order of the submissions.

        The limits are MAX_SUBMISSIONS and MAX_TOTAL_MB of uploads (`worker.client.jobs.submissions`), and the user's
        limits for all of them together; a submission whose idempotency key is known does not count. Raises as
        `submit_upload` and `submit_repository`; the message of an InvalidInputError names the submission.
        """
        return await self._submitter.submit(user_id, submissions)

    # Jobs

    async def get_job(self, user_id: UUID, job_id: str) -> Job:
        """Return the job, without the data of its upload. Raises NotFoundError, ForbiddenError."""
        return await self._jobs.get(user_id, job_id)

    async def list_jobs(
        self,
        user_id: UUID,
        *,
        status: JobStatus | None = None,
        since: timedelta | None = None,
        limit: int = 50,
        after: JobCursor | None = None,
    ) -> list[Job]:
        """Return the user's jobs that still have a row, newest first, at most `limit` and MAX_LISTED_JOBS.

        `since` is an age: jobs created longer ago are left out. For the next page, pass the `cursor` of the last job as
        `after`; an empty page is the end. All pages cost the same.
        """
        return await self._jobs.list_page(user_id, status=status, since=since, limit=limit, after=after)

    async def list_webhook_deliveries(self, user_id: UUID, job_id: str) -> list[WebhookDelivery]:
        """Return the webhook deliveries about the job, oldest first.

        There are none for a job without `notify_url`, and for one that has not ended. Raises NotFoundError,
        ForbiddenError.
        """
        return await self._jobs.webhook_deliveries(user_id, job_id)

    def webhook_secrets(self, user_id: UUID) -> list[str]:
        """Return the secrets of the user's webhooks (`whsec_...`), newest first. A receiver may verify with any."""
        secrets = self._webhook_secrets
        return [derive_user_secret(secret.get_secret_value(), user_id) for secret in secrets]

    async def find_job_id(self, user_id: UUID, prefix: str) -> str:
        """Return the id of the user's only job whose id begins with `prefix`, which is hexadecimal.

        Any other text is returned as it is, also one that begins no id. Raises InvalidInputError where several jobs
        match.
        """
        return await self._jobs.find_id(user_id, prefix)

    async def get_result(self, user_id: UUID, job_id: str) -> JobResult:
        """Return the result or the error of a finished job. Nothing is deleted.

        Raises NotFoundError, ForbiddenError.
        """
        return await self._jobs.result(user_id, job_id)

    async def take_result(self, user_id: UUID, job_id: str) -> JobResult:
        """Return the result or the error of a finished job, and delete the job's row. An unfinished job stays.

        Raises NotFoundError, also on the second call, and ForbiddenError.
        """
        return await self._jobs.take_result(user_id, job_id)

    async def cancel_job(self, user_id: UUID, job_id: str) -> Job:
        """Cancel a pending or running job: it becomes `failed`, with the error `cancelled by user`.

        A running job's processes end within five seconds. Raises NotFoundError, ForbiddenError, and
        IllegalTransitionError for a job that has already ended.
        """
        return await self._jobs.cancel(user_id, job_id)

    async def retry_job(self, user_id: UUID, job_id: str) -> Job:
        """Make a failed job pending again, with its attempts reset.

        Raises NotFoundError, ForbiddenError, IllegalTransitionError for a job that has not failed, InvalidInputError
        where its upload was deleted (a cancelled job), and LimitExceededError for too many unfinished jobs.
        """
        return await self._jobs.retry(user_id, job_id)

    async def watch(self, user_id: UUID, job_id: str, *, repeat_seconds: float | None = None) -> AsyncIterator[Job]:
        """Yield the job now and after each change of its status, stage or progress, until it has ended.

        Redis delivers changes at once. The row is also read every second, so a lost event delays a change by one second
        at most. Whoever is slower than the changes gets the latest one. All watchers of a client share one connection
        to Redis and one statement a second. With `repeat_seconds`, the job is yielded again after so long without a
        change. Raises NotFoundError, ForbiddenError, ServiceUnavailableError.
        """
        job = await self.get_job(user_id, job_id)
        async with aclosing(self._connections.watcher.watch(job, repeat_seconds)) as jobs:
            async for job in jobs:
                yield job

    # Runs

    async def list_runs(
        self,
        user_id: UUID,
        *,
        limit: int = 20,
        after: RunCursor | None = None,
        project: str | None = None,
        branch: str | None = None,
        tags: Tags = MappingProxyType({}),
    ) -> Page:
        """Return one page of the user's runs, newest first, at most `limit` and MAX_PAGE_SIZE.

        `project` is named as in `trend`, which raises the same errors. With `branch`, only runs of that branch; with
        `tags`, only runs that have all of them.
        """
        choice = RunChoice(project=project, branch=branch, tags=tags)
        return await self._runs.list_page(user_id, choice, limit=limit, after=after)

    async def find_run_id(self, user_id: UUID, prefix: str) -> UUID:
        """Return the id of the user's only run whose id begins with `prefix`, with or without dashes.

        A whole id is returned as it is. Raises NotFoundError where no run matches, and InvalidInputError where several
        do.
        """
        return await self._runs.find_id(user_id, prefix)

    async def get_run_summary(self, user_id: UUID, run_id: UUID) -> RunSummary:
        """Return the run without its large documents. Raises NotFoundError, ForbiddenError."""
        return await self._runs.summary(user_id, run_id)

    async def get_run(self, user_id: UUID, run_id: UUID) -> Run:
        """Return the run with its metrics, file tree and findings. Raises NotFoundError, ForbiddenError."""
        return await self._runs.get(user_id, run_id)

    async def get_file_tree(self, user_id: UUID, run_id: UUID) -> Mapping[str, JSON] | None:
        """Return the run's file tree, None for a run without one. Raises NotFoundError, ForbiddenError."""
        return await self._runs.file_tree(user_id, run_id)

    async def get_history(self, user_id: UUID, run_id: UUID) -> Mapping[str, JSON] | None:
        """Return the run's `history`, None for an old run. Raises NotFoundError, ForbiddenError."""
        return await self._runs.history(user_id, run_id)

    async def list_insights(self, user_id: UUID, run_id: UUID) -> Sequence[Mapping[str, JSON]]:
        """Return the run's insights, the highest confidence first. Raises NotFoundError, ForbiddenError."""
        return await self._runs.insights(user_id, run_id)

    async def list_findings(
        self,
        user_id: UUID,
        run_id: UUID,
        *,
        states: Collection[FindingState] = (),
        severity: FindingSeverity = FindingSeverity.INFO,
        metrics: Collection[str] = (),
        path: str | None = None,
        roles: Collection[Role] = (Role.SOURCE,),
        limit: int = 50,
        after: int | None = None,
    ) -> FindingPage:
        """Return one page of the run's findings in its order, at most `limit` and MAX_LISTED_FINDINGS.

        `severity` is the least one. In `path`, `*` stands for any characters, also slashes, and `?` for one. No
        `states`, `metrics` or `roles` are all of them. Raises NotFoundError, ForbiddenError, and InvalidInputError for
        a metric that the run does not have, states of a run without a baseline, and `fixed`, which no list has.
        """
        chosen = FindingFilter(
            states=frozenset(states),
            severity=severity,
            metrics=frozenset(metrics),
            path=path,
            roles=frozenset(roles),
        )
        return await self._runs.list_findings(user_id, run_id, chosen, limit=limit, after=after)

    async def compare_runs(self, user_id: UUID, run_id: UUID, baseline_id: UUID | None = None) -> RunComparison:
        """Compare two runs of the user: a run and an earlier one, or without `baseline_id` the run's own baseline.

        The runs may be of different projects. Raises NotFoundError, ForbiddenError, and InvalidInputError for a run
        that has no baseline.
        """
        return await self._runs.compare(user_id, run_id, baseline_id)

    async def trend(self, user_id: UUID, project: str, branch: str | None = None) -> ProjectTrend:
        """Return the trends of a project's numbers over its runs of one branch.

        A project is named by its URL, else its name, else the name of its uploaded file, else the id of one of its runs
        or the beginning of it. Without `branch`, its default branch, else that of its newest run. Raises NotFoundError,
        ForbiddenError for the id of another user's run, and InvalidInputError for a beginning of several ids.
        """
        return await self._runs.trend(user_id, project, branch)

    async def pin_baseline(self, user_id: UUID, run_id: UUID) -> None:
        """Make the run the baseline of its project's later runs, in place of any other. It is kept until it is deleted.

        Raises NotFoundError, ForbiddenError, and InvalidInputError for a run of a version that knew no projects.
        """
        await self._runs.pin(user_id, run_id)

    async def export_run(
        self, user_id: UUID, run_id: UUID, export_format: ExportFormat, *, metric: str | None = None
    ) -> bytes:
        """Return the run as a document for another program, in UTF-8. A badge can show one `metric`.

        The HTML report also has the trend of the project's numbers up to this run.

        Raises NotFoundError, ForbiddenError, and InvalidInputError for a metric that does not exist, or with a form
        that is no badge.
        """
        return await self._runs.export(user_id, run_id, export_format, metric)

    async def delete_run(self, user_id: UUID, run_id: UUID) -> None:
        """Delete the run. Raises NotFoundError, ForbiddenError."""
        await self._runs.delete(user_id, run_id)
