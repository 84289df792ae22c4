"""`vibe8 cancel` and `vibe8 retry` of many jobs, after a confirmation that says how many they are."""

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
    """Which jobs to select. None as `email` means those of all users, which only an operator may select."""

    email: str | None
    status: JobStatus | None
    since: timedelta | None
    as_operator: bool

    def statuses(self, allowed: Sequence[JobStatus], verb: str) -> Sequence[JobStatus]:
        """Return the statuses to select. Raises InvalidInputError where `status` is not one of `allowed`."""
        if self.status is None:
            return allowed
        if self.status not in allowed:
            raise InvalidInputError(f"only {' and '.join(allowed)} jobs can be {verb}")
        return [self.status]


async def cancel(selection: Selection, output: OutputWriter, *, yes: bool) -> int:
    """Cancel the pending and running ones."""
    statuses = selection.statuses(UNFINISHED, "cancelled")
    async with _matching_jobs(selection, statuses) as (client, _, job_ids):
        if job_ids and not yes:
            _confirm(selection, statuses, len(job_ids), "cancel")
        changed = await client.cancel_jobs(job_ids)
    return _print_outcome(output, job_ids, changed, "cancelled, or being cancelled", "had already ended")


async def retry(selection: Selection, output: OutputWriter, *, yes: bool) -> int:
    """Retry the failed ones: for a user, the oldest within the limit of unfinished jobs; for an operator, all."""
    statuses = selection.statuses([JobStatus.FAILED], "retried")
    async with _matching_jobs(selection, statuses) as (client, user_id, job_ids):
        if job_ids and not yes:
            _confirm(selection, statuses, len(job_ids), "retry")
        changed = await client.retry_jobs(job_ids, limited_user=None if selection.as_operator else user_id)
    reason = "would exceed the limit of unfinished jobs, have lost their upload, or have changed meanwhile"
    return _print_outcome(output, job_ids, changed, "pending again", reason)


@asynccontextmanager
async def _matching_jobs(
    selection: Selection, statuses: Sequence[JobStatus]
) -> AsyncIterator[tuple[OperatorClient, UUID | None, list[str]]]:
    earliest = None if selection.since is None else datetime.now(UTC) - selection.since
    async with OperatorClient.open(load_settings()) as client:
        user_id = None if selection.email is None else await client.user_client.get_or_create_user(selection.email)
        yield client, user_id, await client.select_jobs(user_id, statuses, since=earliest, limit=MAX_JOBS)


def _confirm(selection: Selection, statuses: Sequence[JobStatus], count: int, verb: str) -> None:
    """Ask for confirmation. Raises InvalidInputError where the user refuses, or there is no terminal to ask on."""
    oldest = "the oldest " if count == MAX_JOBS else ""
    owner = "of all users" if selection.email is None else f"of {selection.email}"
    age = "" if selection.since is None else f", younger than {format_age(selection.since.total_seconds())}"
    jobs = f"{oldest}{count} {' or '.join(statuses)} job{'s' if count != 1 else ''} {owner}{age}"
    if not sys.stdin.isatty():
        raise InvalidInputError(f"{verb} {jobs}? pass --yes to confirm, because there is no terminal to ask on")
    print(f"{verb} {jobs}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InvalidInputError("nothing was done")


def _print_outcome(
    output: OutputWriter, job_ids: Sequence[str], changed: Sequence[Job], effect: str, reason: str
) -> int:
    changed_ids = {job.job_id for job in changed}
    unchanged = [job_id for job_id in job_ids if job_id not in changed_ids]
    if output.as_json:
        in_order = [job_id for job_id in job_ids if job_id in changed_ids]
        output.print_json({"matched": len(job_ids), "changed": in_order, "unchanged": unchanged})
    elif not job_ids:
        output.print_line("no jobs")
    else:
        rest = f"; {len(unchanged)} left unchanged: they {reason}" if unchanged else ""
        output.print_line(f"{len(changed_ids)} of {len(job_ids)} jobs {effect}{rest}")
    return DONE
