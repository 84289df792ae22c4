"""`vibe8 jobs`, `job`, `result`, `cancel`, `retry` and `webhook`: the commands about existing jobs.

A job is named by the beginning of its id, as long as no other job's begins alike.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

from domain.errors import InvalidInputError
from domain.jobs import JobStatus
from domain.text import JSON
from infrastructure.settings import load_settings
from worker.cli.exit_codes import DONE, FAILED
from worker.cli.output.errors import print_error
from worker.cli.output.jobs import show_all_jobs, show_job, show_jobs
from worker.cli.output.results.page import show_result
from worker.cli.output.results.verdict import report_verdict
from worker.cli.output.writer import OutputWriter
from worker.client import (
    Client,
    Completed,
    JobFailed,
    JobResult,
    Unfinished,
    empty_result_to_json,
    job_to_json,
    run_to_json,
    webhook_delivery_to_json,
)
from worker.client.operator import OperatorClient


@asynccontextmanager
async def client_and_user(email: str, *, lazy_redis: bool = False) -> AsyncIterator[tuple[Client, UUID]]:
    """Open a client, and yield it with the id of the user who makes the request."""
    async with Client.open(load_settings(), lazy_redis=lazy_redis) as client:
        yield client, await client.get_or_create_user(email)


@asynccontextmanager
async def _client_for_job(
    email: str, prefix: str, *, as_operator: bool = False, lazy_redis: bool = False
) -> AsyncIterator[tuple[Client, UUID, str]]:
    """As `client_and_user`, with the job's whole id. For an operator the user is the job's owner, whoever that is."""
    if as_operator:
        async with OperatorClient.open(load_settings(), lazy_redis=lazy_redis) as operator:
            job_id = await operator.find_job_id(prefix)
            yield operator.user_client, await operator.get_job_owner(job_id), job_id
    else:
        async with client_and_user(email, lazy_redis=lazy_redis) as (client, user_id):
            yield client, user_id, await client.find_job_id(user_id, prefix)


async def jobs(email: str, status: JobStatus | None, since: timedelta | None, limit: int, output: OutputWriter) -> int:
    """List the user's jobs, newest first."""
    async with client_and_user(email, lazy_redis=True) as (client, user_id):
        documents: list[JSON] = []
        after = None
        while page := await client.list_jobs(
            user_id, status=status, since=since, limit=limit - len(documents), after=after
        ):
            documents += [job_to_json(job) for job in page]
            after = page[-1].cursor
            if len(documents) == limit:
                break
    if output.as_json:
        output.print_json(documents)
    else:
        show_jobs(output.console, documents, datetime.now(UTC))
    return DONE


async def all_jobs(status: JobStatus | None, since: timedelta | None, limit: int, output: OutputWriter) -> int:
    """List the jobs of all users, the last changed first."""
    earliest = None if since is None else datetime.now(UTC) - since
    statuses = list(JobStatus) if status is None else [status]
    async with OperatorClient.open(load_settings(), lazy_redis=True) as operator:
        found = await operator.list_jobs(statuses, since=earliest, limit=limit)
    documents = [{"owner": email, **job_to_json(each)} for email, each in found]
    if output.as_json:
        output.print_json(list[JSON](documents))
    else:
        show_all_jobs(output.console, documents, datetime.now(UTC))
    return DONE


async def job(email: str, prefix: str, output: OutputWriter, *, as_operator: bool) -> int:
    """Show one job and its history."""
    async with _client_for_job(email, prefix, as_operator=as_operator, lazy_redis=True) as (client, user_id, job_id):
        found = await client.get_job(user_id, job_id)
        deliveries = await client.list_webhook_deliveries(user_id, job_id) if found.notify_url is not None else []
    document = {**job_to_json(found), "notices": [webhook_delivery_to_json(delivery) for delivery in deliveries]}
    if output.as_json:
        output.print_json(document)
    else:
        show_job(output.console, document)
    return DONE


async def webhook(email: str, output: OutputWriter) -> int:
    """Show the secrets of the user's webhooks."""
    async with client_and_user(email) as (client, user_id):
        secrets = client.webhook_secrets(user_id)
    if not secrets:
        raise InvalidInputError("WEBHOOK_SECRETS is not set: no webhooks are sent")
    if output.as_json:
        output.print_json(list[JSON](secrets))
    else:
        for secret in secrets:
            output.print_line(secret)
    return DONE


async def result(email: str, prefix: str, output: OutputWriter, *, take: bool, gate: bool) -> int:
    """Show the result; with `take`, also delete the job's row. Its run stays.

    With `gate`, the verdict decides the exit code of a completed job. Raises InvalidInputError for an unfinished one.
    """
    async with _client_for_job(email, prefix, lazy_redis=True) as (client, user_id, job_id):
        found = await (client.take_result if take else client.get_result)(user_id, job_id)
    code = print_job_result(found, output)
    if gate and isinstance(found, Unfinished):
        raise InvalidInputError(f"the job is {found.job.status}: the gate's verdict is known when it has ended")
    return report_verdict({"review": found.run.review}) if gate and isinstance(found, Completed) else code


def print_job_result(found: JobResult, output: OutputWriter) -> int:
    """Print the result, the error or the state of a job. Returns FAILED for a failed job, else DONE."""
    if isinstance(found, Completed):
        show_result(run_to_json(found.run, found.job), output)
        return DONE
    if output.as_json:
        output.print_json(empty_result_to_json(found))
    elif isinstance(found, JobFailed):
        print_error(f"job {found.job.job_id} failed: {found.error}")
    elif isinstance(found, Unfinished):
        show_job(output.console, job_to_json(found.job))
    return FAILED if isinstance(found, JobFailed) else DONE


async def cancel(email: str, prefix: str, output: OutputWriter, *, as_operator: bool) -> int:
    """Cancel a job."""
    async with _client_for_job(email, prefix, as_operator=as_operator) as (client, user_id, job_id):
        found = await client.cancel_job(user_id, job_id)
    if output.as_json:
        output.print_json(job_to_json(found))
    else:
        output.print_line(f"{job_id} is {'being cancelled' if found.status is JobStatus.RUNNING else 'cancelled'}")
    return DONE


async def retry(email: str, prefix: str, output: OutputWriter, *, as_operator: bool) -> int:
    """Make a failed job pending again."""
    async with _client_for_job(email, prefix, as_operator=as_operator) as (client, user_id, job_id):
        found = await client.retry_job(user_id, job_id)
    if output.as_json:
        output.print_json(job_to_json(found))
    else:
        output.print_line(f"{job_id} is pending again")
    return DONE
