"""The commands about jobs that exist already: list, look, take the result, cancel, retry."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

from domain.errors import InvalidInputError
from domain.jobs import JobStatus
from domain.text import JSON
from infrastructure.settings import load_settings
from worker.cli.exit_codes import DONE, FAILED
from worker.cli.output.jobs import show_job, show_jobs
from worker.cli.output.output import Output
from worker.cli.output.results import complain, show_result
from worker.client.client import Client, Completed, JobFailed, Taken, Unfinished
from worker.client.serializers import job_document, notice_document, run_document, unfinished_document


@asynccontextmanager
async def client_and_user(email: str, *, redis_later: bool = False) -> AsyncIterator[tuple[Client, UUID]]:
    """The client for the running services, and the id of the user who asks."""
    async with Client.open(load_settings(), redis_later=redis_later) as client:
        yield client, await client.get_or_create_user(email)


async def jobs(email: str, status: JobStatus | None, since: timedelta | None, limit: int, output: Output) -> int:
    """The user's jobs, newest first."""
    async with client_and_user(email, redis_later=True) as (client, user_id):
        found = await client.list_jobs(user_id, status=status, since=since, limit=limit)
    documents = [job_document(job) for job in found]
    if output.as_json:
        output.document(documents)
    else:
        show_jobs(output.console, documents, datetime.now(UTC))
    return DONE


async def job(email: str, job_id: str, output: Output, *, as_operator: bool) -> int:
    """One job and the story of its attempts."""
    async with client_and_user(email, redis_later=True) as (client, user_id):
        owner = await client.owner_of(job_id) if as_operator else user_id
        found = await client.get_job(owner, job_id)
        notices = await client.list_notices(owner, job_id) if found.notify_url is not None else []
    document = {**job_document(found), "notices": [notice_document(notice) for notice in notices]}
    if output.as_json:
        output.document(document)
    else:
        show_job(output.console, document)
    return DONE


async def webhook(email: str, output: Output) -> int:
    """The secrets of the user's notices."""
    async with client_and_user(email) as (client, user_id):
        secrets = client.notice_secrets(user_id)
    if not secrets:
        raise InvalidInputError("WEBHOOK_SECRETS is not set: no notices are sent")
    if output.as_json:
        output.document(list[JSON](secrets))
    else:
        for secret in secrets:
            output.say(secret)
    return DONE


async def result(email: str, job_id: str, output: Output) -> int:
    """Take the result: the job's row goes, the run stays."""
    async with client_and_user(email) as (client, user_id):
        taken = await client.take_result(user_id, job_id)
    return show_taken(taken, output)


def show_taken(taken: Taken, output: Output) -> int:
    """Print the result, the failure or the state of a job; FAILED where the job has failed, else DONE."""
    if isinstance(taken, Completed):
        show_result(run_document(taken.run, taken.job), output)
        return DONE
    if output.as_json:
        output.document(unfinished_document(taken))
    elif isinstance(taken, JobFailed):
        complain(f"job {taken.job.job_id} failed: {taken.error}")
    elif isinstance(taken, Unfinished):
        show_job(output.console, job_document(taken.job))
    return FAILED if isinstance(taken, JobFailed) else DONE


async def cancel(email: str, job_id: str, output: Output, *, as_operator: bool) -> int:
    """Ask for the end of a job."""
    async with client_and_user(email) as (client, user_id):
        owner = await client.owner_of(job_id) if as_operator else user_id
        found = await client.cancel_job(owner, job_id)
    if output.as_json:
        output.document(job_document(found))
    else:
        output.say(f"{job_id} is {'being cancelled' if found.status is JobStatus.RUNNING else 'cancelled'}")
    return DONE


async def retry(email: str, job_id: str, output: Output, *, as_operator: bool) -> int:
    """Put a failed job back in line."""
    async with client_and_user(email) as (client, user_id):
        owner = await client.owner_of(job_id) if as_operator else user_id
        found = await client.retry_job(owner, job_id)
    if output.as_json:
        output.document(job_document(found))
    else:
        output.say(f"{job_id} is pending again")
    return DONE
