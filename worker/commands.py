"""What each command does. Results go to standard output, progress and errors to standard error."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from uuid import UUID

from rich.console import Console
from rich.markup import escape

from domain.jobs import Job, JobStatus
from domain.sources import Authorship
from domain.text import JSON
from infrastructure.database.engine import Database
from infrastructure.database.migrate import current, head, upgrade
from infrastructure.settings import Settings, load_settings
from worker import render
from worker.client import Client, Completed, JobFailed, Taken, Unfinished
from worker.documents import analysis_document, job_document, run_document
from worker.maintenance import cleanup
from worker.progress import ProgressDisplay
from worker.settings import local_pipeline
from worker.sources import Directory, Remote, Source, parse_source, pipeline_source, upload_of

DONE, JOB_FAILED = 0, 1
POLL_SECONDS = 1.0
"""How often a waiting command looks at the row, in case an event was lost."""

PLAIN_WIDTH = 140


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where and how a command answers."""

    as_json: bool

    @property
    def console(self) -> Console:
        """Standard output; wide and plain when it is not a terminal."""
        return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)

    def document(self, document: JSON) -> None:
        """One JSON document and nothing else."""
        json.dump(document, sys.stdout, allow_nan=False, ensure_ascii=False, indent=2)
        sys.stdout.write("\n")

    def result(self, document: Mapping[str, JSON]) -> None:
        """A whole result."""
        if self.as_json:
            self.document(document)
        else:
            render.show_document(self.console, document)

    def job(self, job: Job, words: str) -> None:
        """One job, or a line about it."""
        if self.as_json:
            self.document(job_document(job))
        else:
            self.console.print(words)


@asynccontextmanager
async def client_and_user(email: str) -> AsyncIterator[tuple[Client, UUID]]:
    """The client for the running services, and the id of the user who asks."""
    async with Client.open(load_settings()) as client:
        yield client, await client.get_or_create_user(email)


async def analyze(source_text: str, branch: str | None, output: Output) -> int:
    """The ten collectors here and now: no queue, no database."""
    settings = load_settings(need_services=False)
    source = parse_source(source_text, branch, settings)
    with ProgressDisplay(quiet=output.as_json) as display:
        async with local_pipeline(settings) as pipeline:
            analysed = await pipeline.run(pipeline_source(source, settings), display.on_event)
    origin = {**_describe(source), "git_branch": analysed.fetched.branch, "git_commit_sha": analysed.fetched.commit_sha}
    output.result(analysis_document(analysed.analysis, origin))
    return DONE


def _describe(source: Source) -> dict[str, JSON]:
    if isinstance(source, Remote):
        return {"kind": "github", "git_repo_url": source.url}
    return {"kind": "directory" if isinstance(source, Directory) else "upload", "path": str(source.path)}


async def submit(
    source_text: str, branch: str | None, authorship: Authorship, email: str, output: Output, *, wait: bool
) -> int:
    """Hand the source to the queue; with `wait`, show its progress and take the result."""
    settings = load_settings()
    source = parse_source(source_text, branch, settings)
    async with Client.open(settings) as client:
        user_id = await client.get_or_create_user(email)
        job = await _submit(client, user_id, source, authorship, settings)
        if not wait:
            output.job(job, job.job_id)
            return DONE
        with ProgressDisplay(quiet=output.as_json) as display:
            await _wait(client, user_id, job.job_id, display)
        return _show_taken(await client.take_result(user_id, job.job_id), output)


async def _submit(client: Client, user_id: UUID, source: Source, authorship: Authorship, settings: Settings) -> Job:
    if isinstance(source, Remote):
        return await client.submit_repository(
            user_id, url=source.url, branch=source.branch, token=source.token, authorship=authorship
        )
    filename, content = await asyncio.to_thread(upload_of, source, settings)
    return await client.submit_upload(user_id, filename=filename, content=content, authorship=authorship)


async def _wait(client: Client, user_id: UUID, job_id: str, display: ProgressDisplay) -> None:
    """Until the job has ended: events for the display, the row for the truth."""
    async with client.listen(job_id) as events, aclosing(events):  # type: ignore[type-var]
        listening = asyncio.create_task(_show_events(events, display))
        try:
            while not (await client.get_job(user_id, job_id)).status.finished:
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(listening), POLL_SECONDS)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def _show_events(events: AsyncIterator[Mapping[str, JSON]], display: ProgressDisplay) -> None:
    """Show events until one says that the job has ended."""
    async for event in events:
        if JobStatus(event["status"]).finished:
            return
        if event.get("stage"):
            await display.on_event(event)


def _show_taken(taken: Taken, output: Output) -> int:
    if isinstance(taken, Completed):
        output.result(run_document(taken.run, taken.job))
        return DONE
    if output.as_json:
        output.document(unfinished_document(taken))
    elif isinstance(taken, JobFailed):
        Console(stderr=True, highlight=False).print(f"[red]failed:[/red] {escape(taken.error)}")
    else:
        output.console.print(f"{taken.job.job_id} is {taken.job.status}, {taken.job.progress} %")
    return JOB_FAILED if isinstance(taken, JobFailed) else DONE


def unfinished_document(taken: Unfinished | JobFailed) -> dict[str, JSON]:
    """The shape of a result without one: nulls, and the job's error among the errors."""
    return {
        "job": job_document(taken.job),
        "source": taken.job.source_metadata,
        "metrics": None,
        "file_tree": None,
        "findings": None,
        "errors": [taken.error] if isinstance(taken, JobFailed) else [],
        "completeness": None,
        "tool_versions": None,
        "timings_ms": None,
    }


async def jobs(email: str, status: JobStatus | None, since: timedelta | None, limit: int, output: Output) -> int:
    """The user's jobs, newest first."""
    async with client_and_user(email) as (client, user_id):
        found = await client.list_jobs(user_id, status=status, since=since, limit=limit)
    documents = [job_document(job) for job in found]
    if output.as_json:
        output.document(documents)
    else:
        render.show_jobs(output.console, documents)
    return DONE


async def job(email: str, job_id: str, output: Output) -> int:
    """One job and the story of its attempts."""
    async with client_and_user(email) as (client, user_id):
        found = await client.get_job(user_id, job_id)
    if output.as_json:
        output.document(job_document(found))
    else:
        render.show_job(output.console, job_document(found))
    return DONE


async def result(email: str, job_id: str, output: Output) -> int:
    """Take the result: the job's row goes, the run stays."""
    async with client_and_user(email) as (client, user_id):
        taken = await client.take_result(user_id, job_id)
    return _show_taken(taken, output)


async def cancel(email: str, job_id: str, output: Output) -> int:
    """Ask for the end of a job."""
    async with client_and_user(email) as (client, user_id):
        found = await client.cancel_job(user_id, job_id)
    output.job(found, f"{job_id} is being cancelled" if found.status is JobStatus.RUNNING else f"{job_id} is cancelled")
    return DONE


async def retry(email: str, job_id: str, output: Output) -> int:
    """Put a failed job back in line."""
    async with client_and_user(email) as (client, user_id):
        found = await client.retry_job(user_id, job_id)
    output.job(found, f"{job_id} is pending again")
    return DONE


async def clean_up(output: Output) -> int:
    """The 6-hourly clean-up, now."""
    settings = load_settings()
    database = Database.from_settings(settings, "vibe8-cleanup")
    try:
        counts = asdict(await cleanup(database, settings))
    finally:
        await database.close()
    if output.as_json:
        output.document(counts)
    else:
        stale = counts["stale_running"] + counts["stale_pending"]
        output.console.print(f"{counts['deleted']} finished jobs deleted, {stale} stale jobs failed")
    return DONE


async def migrate(output: Output) -> int:
    """Bring the database's schema up to what this version needs."""
    url = load_settings(need_redis=False).sqlalchemy_url()
    before = await current(url)
    await upgrade(url)
    facts = {"before": before, "after": head()}
    if output.as_json:
        output.document(facts)
    elif before == head():
        output.console.print(f"the schema is up to date ({head()})")
    else:
        output.console.print(f"the schema went from {before or 'nothing'} to {head()}")
    return DONE
