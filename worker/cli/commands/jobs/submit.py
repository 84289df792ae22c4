"""`vibe8 submit`: submit a source and, with `--wait`, watch the job and show its result."""

import asyncio
import functools
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from domain.errors import InvalidInputError, ServiceUnavailableError
from domain.jobs import Job, JobStatus
from domain.sources import Authorship
from infrastructure.settings import Settings, load_settings
from infrastructure.sources.local.packing import pack_directory
from worker.analysis.pipeline_factory import source_limits
from worker.cli.commands.jobs.jobs import print_job_result
from worker.cli.exit_codes import DONE, InterruptedByUserError
from worker.cli.options import DEFAULT_USER
from worker.cli.output.progress import WAITING, ProgressDisplay
from worker.cli.output.results.verdict import report_verdict
from worker.cli.output.writer import OutputWriter
from worker.cli.source_argument import Directory, File, RemoteRepository, Source, parse_source, read_file
from worker.client import (
    Client,
    Completed,
    JobOptions,
    JobResult,
    RepositorySubmission,
    Submission,
    UploadSubmission,
    job_to_json,
)
from worker.client.operator import OperatorClient
from worker.results.policy_file import read_policy_file
from worker.retry import OutageTimer, retry_while_unavailable

OUTAGE_SECONDS = 60.0
"""How long `--wait` waits for a service that has become unavailable."""

RETRY_SECONDS = 1.0
UNCLAIMED_SECONDS = 10.0
"""Time without a claim after which `--wait` says that the workers are busy, or that none runs."""

PAUSE_CHECK_SECONDS = 1.0
"""How often `--wait` asks whether the fleet is paused, while no worker has claimed the job."""

PAUSED_HINT = "the fleet is paused: no worker claims jobs until `vibe8 resume`"
UNCLAIMED_HINT = "no worker has taken the job so far: they are busy, or none runs (`vibe8 worker`)"


async def submit(
    source_text: str,
    branch: str | None,
    authorship: Authorship,
    email: str,
    output: OutputWriter,
    *,
    wait: bool,
    with_history: bool = True,
    notify: str | None = None,
    baseline: str | None = None,
    policy_file: Path | None = None,
    gate: bool = False,
    options: JobOptions,
) -> int:
    """Submit the source; with `wait`, show its progress and its result.

    `baseline` is the beginning of a run's id, and is added to `options` with the policy of the file. With `gate`, the
    verdict decides the exit code.
    """
    if gate and not wait:
        raise InvalidInputError("--gate needs --wait: the verdict is known when the job has ended")
    settings = load_settings(need_services=False)
    policy = None if policy_file is None else read_policy_file(policy_file)
    source = parse_source(source_text, branch, settings)
    # Read the source before connecting, so that its errors are reported first.
    read = functools.partial(read_submission, source, authorship, settings, notify_url=notify)
    submission = await asyncio.to_thread(read, with_history=with_history)
    async with OperatorClient.open(load_settings()) as operator:
        client = operator.user_client
        user_id = await client.get_or_create_user(email)
        run_id = None if baseline is None else await client.find_run_id(user_id, baseline)
        submission = replace(submission, options=replace(options, baseline=run_id, gate=policy))
        (job,) = await client.submit_many(user_id, [submission])
        hint = _next_commands(job.job_id, email)
        if wait:
            result = await _watch(operator, user_id, job.job_id, output, hint)
            code = print_job_result(result, output)
            return report_verdict({"review": result.run.review}) if gate and isinstance(result, Completed) else code
    if output.as_json:
        output.print_json(job_to_json(job))
    else:
        output.print_line(job.job_id)
        if sys.stdout.isatty():
            print(hint, file=sys.stderr)
    return DONE


def read_submission(
    source: Source,
    authorship: Authorship,
    settings: Settings,
    *,
    idempotency_key: str | None = None,
    notify_url: str | None = None,
    with_history: bool = True,
) -> Submission:
    """Read the source and return its submission. Raises InvalidInputError where it cannot be read."""
    if isinstance(source, RemoteRepository):
        return RepositorySubmission(
            url=source.url,
            branch=source.branch,
            token=source.token,
            authorship=authorship,
            idempotency_key=idempotency_key,
            notify_url=notify_url,
        )
    filename, content = _read_upload(source, settings, with_history=with_history)
    return UploadSubmission(
        filename=filename,
        content=content,
        authorship=authorship,
        idempotency_key=idempotency_key,
        notify_url=notify_url,
    )


def _read_upload(source: Directory | File, settings: Settings, *, with_history: bool) -> tuple[str, bytes]:
    """Return the name and the bytes to upload.

    A directory is packed as a zip, by default with its git history if that fits; if not, a line says so.
    """
    if isinstance(source, File):
        return source.path.name, read_file(source.path, settings)
    name = source.path.resolve().name or "root"
    packed = pack_directory(
        source.path,
        with_history=with_history,
        limits=source_limits(settings),
        on_history_left_out=lambda line: print(f"vibe8: {name}: {line}", file=sys.stderr),
    )
    return f"{name}.zip", packed


def _next_commands(job_id: str, email: str) -> str:
    user_option = "" if email == DEFAULT_USER else f" --user {email}"
    verbs = (("job", "shows it"), ("result", "shows its result"), ("cancel", "ends it"))
    return ", ".join(f"`vibe8 {verb} {job_id}{user_option}` {effect}" for verb, effect in verbs)


async def _watch(operator: OperatorClient, user_id: UUID, job_id: str, output: OutputWriter, hint: str) -> JobResult:
    """Show the job's progress, and return its result. A failed job stays, so that it can be retried.

    The job continues without this command. Errors that end the command early say how to follow the job.
    """
    try:
        with ProgressDisplay(quiet=output.as_json, stage=WAITING) as display:
            await JobWatcher(operator, user_id, job_id, display).watch_until_finished()
        return await _read_result(operator.user_client, user_id, job_id)
    except asyncio.CancelledError:
        raise InterruptedByUserError(f"no longer watching; the job goes on: {hint}") from None
    except ServiceUnavailableError as error:
        raise ServiceUnavailableError(f"{error}; the job may go on: {hint}") from error


async def _read_result(client: Client, user_id: UUID, job_id: str) -> JobResult:
    call = functools.partial(client.get_result, user_id, job_id)
    return await retry_while_unavailable(call, OutageTimer(OUTAGE_SECONDS, delay_seconds=RETRY_SECONDS))


class JobWatcher:
    """Shows the progress of one job until it has ended."""

    def __init__(self, operator: OperatorClient, user_id: UUID, job_id: str, display: ProgressDisplay) -> None:
        self._operator = operator
        self._client = operator.user_client
        self._user_id = user_id
        self._job_id = job_id
        self._display = display
        self._claimed = False
        self._failed_attempts = 0

    async def watch_until_finished(self) -> None:
        """Show each change of the job.

        Raises ServiceUnavailableError after an outage of OUTAGE_SECONDS, and NotFoundError where the job is deleted.
        """
        hints = asyncio.create_task(self._print_hints())
        try:
            await self._follow()
        finally:
            hints.cancel()

    async def _follow(self) -> None:
        outage = OutageTimer(OUTAGE_SECONDS, delay_seconds=RETRY_SECONDS)
        while True:
            try:
                async for job in self._client.watch(self._user_id, self._job_id):
                    outage.reset()
                    self._show(job)
            except ServiceUnavailableError as error:
                await outage.wait(error)
            else:
                return

    def _show(self, job: Job) -> None:
        self._claimed = self._claimed or job.attempt > 0 or job.status is not JobStatus.PENDING
        if not job.status.finished:  # the last failure is printed with the result
            for error in job.attempt_errors[self._failed_attempts :]:
                self._display.print_line(f"attempt {error.attempt} failed: {error.message}; it is tried again")
            self._failed_attempts = len(job.attempt_errors)
        if job.status is JobStatus.PENDING:
            self._display.show(WAITING, 0)
        elif job.stage is not None:
            self._display.show(job.stage, job.progress)

    async def _print_hints(self) -> None:
        """Say why no worker has claimed the job, until one does. Each reason is printed once."""
        loop = asyncio.get_running_loop()
        unclaimed_at, printed = loop.time() + UNCLAIMED_SECONDS, set[str]()
        await asyncio.sleep(PAUSE_CHECK_SECONDS)
        while not self._claimed:
            hint = None
            with suppress(ServiceUnavailableError):  # `_follow` waits for the service, or reports it
                if await self._operator.is_paused():
                    hint = PAUSED_HINT
                elif loop.time() >= unclaimed_at:
                    hint = UNCLAIMED_HINT
            if hint is not None and hint not in printed and not self._claimed:
                printed.add(hint)
                self._display.print_line(hint)
            await asyncio.sleep(PAUSE_CHECK_SECONDS)
