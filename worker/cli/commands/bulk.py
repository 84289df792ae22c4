"""`vibe8 cancel` and `vibe8 retry` of many jobs at once: how many they are is said before anything is done."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from domain.errors import InvalidInputError
from domain.jobs import Job, JobStatus
from infrastructure.settings import load_settings
from worker.cli.exit_codes import DONE
from worker.cli.output.jobs import format_age
from worker.cli.output.writer import OutputWriter
from worker.client.operator import OperatorClient

MAX_JOBS = 10_000
UNFINISHED = (JobStatus.PENDING, JobStatus.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which jobs; no email means everybody's, which only an operator may ask for."""

    email: str | None
    status: JobStatus | None
    since: timedelta | None
    as_operator: bool

    def statuses(self, allowed: Sequence[JobStatus], verb: str) -> Sequence[JobStatus]:
        """The wanted states. Raises InvalidInputError for one that cannot be meant."""
        if self.status is None:
            return allowed
        if self.status not in allowed:
            raise InvalidInputError(f"only {' and '.join(allowed)} jobs can be {verb}")
        return [self.status]


async def cancel(selection: Selection, output: OutputWriter, *, yes: bool) -> int:
    """End the pending and running ones."""
    statuses = selection.statuses(UNFINISHED, "cancelled")
    async with _found(selection, statuses) as (client, _, job_ids):
        changed = await client.cancel_jobs(job_ids) if _agreed(selection, statuses, job_ids, "cancel", yes=yes) else []
    return _tell(output, job_ids, changed, "cancelled, or being cancelled", "had ended meanwhile")


async def retry(selection: Selection, output: OutputWriter, *, yes: bool) -> int:
    """Put the failed ones back in line: an owner's within their limit, oldest first; an operator's all."""
    statuses = selection.statuses([JobStatus.FAILED], "retried")
    async with _found(selection, statuses) as (client, user_id, job_ids):
        changed: list[Job] = []
        if _agreed(selection, statuses, job_ids, "retry", yes=yes):
            changed = await client.retry_jobs(job_ids, limited_user=None if selection.as_operator else user_id)
    why = "would pass the limit of unfinished jobs, have no upload any more, or changed meanwhile"
    return _tell(output, job_ids, changed, "pending again", why)


@asynccontextmanager
async def _found(
    selection: Selection, statuses: Sequence[JobStatus]
) -> AsyncIterator[tuple[OperatorClient, UUID | None, list[str]]]:
    earliest = None if selection.since is None else datetime.now(UTC) - selection.since
    async with OperatorClient.open(load_settings()) as client:
        user_id = None if selection.email is None else await client.user_client.get_or_create_user(selection.email)
        yield client, user_id, await client.select_jobs(user_id, statuses, since=earliest, limit=MAX_JOBS)


def _agreed(
    selection: Selection, statuses: Sequence[JobStatus], job_ids: Sequence[str], verb: str, *, yes: bool
) -> bool:
    """Whether to go on. Raises InvalidInputError where nobody can be asked."""
    if yes or not job_ids:
        return True
    most = "the oldest " if len(job_ids) == MAX_JOBS else ""
    whose = "of everybody" if selection.email is None else f"of {selection.email}"
    age = "" if selection.since is None else f", younger than {format_age(selection.since.total_seconds())}"
    jobs = f"{most}{len(job_ids)} {' or '.join(statuses)} job{'s' if len(job_ids) != 1 else ''} {whose}{age}"
    if not sys.stdin.isatty():
        raise InvalidInputError(f"{verb} {jobs}? say --yes, since there is no terminal to ask on")
    print(f"{verb} {jobs}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InvalidInputError("nothing was done")
    return True


def _tell(output: OutputWriter, job_ids: Sequence[str], changed: Sequence[Job], what: str, why_not: str) -> int:
    done = {job.job_id for job in changed}
    left = [job_id for job_id in job_ids if job_id not in done]
    if output.as_json:
        ids = [job_id for job_id in job_ids if job_id in done]
        output.print_json({"matched": len(job_ids), "changed": ids, "unchanged": left})
    elif not job_ids:
        output.print_line("no jobs")
    else:
        rest = f"; {len(left)} left as they are: they {why_not}" if left else ""
        output.print_line(f"{len(done)} of {len(job_ids)} jobs {what}{rest}")
    return DONE
