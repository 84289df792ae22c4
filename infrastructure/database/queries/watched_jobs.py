"""The states of many jobs in one statement, for those who watch them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.jobs import Job, JobStatus
from infrastructure.database.repositories.mapping import JOB_COLUMNS, job_from_row

# Few columns: each watched job is read every second, and most have not changed.
_STATES = text("""
    SELECT job_id, status, attempt, stage, progress, updated_at, cancel_requested_at
    FROM jobs WHERE job_id = ANY(CAST(:job_ids AS varchar[]))
""")
_JOBS = text(f"SELECT {JOB_COLUMNS} FROM jobs WHERE job_id = ANY(CAST(:job_ids AS varchar[]))")  # nosec B608 # noqa: S608


@dataclass(frozen=True, slots=True)
class JobState:
    """What changes while a job is watched. The names are those of `Job`."""

    status: JobStatus
    attempt: int
    stage: str | None
    progress: int
    updated_at: datetime
    cancel_requested_at: datetime | None


class WatchedJobs:
    """The table `jobs` for those who watch many of them, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def states(self, job_ids: Iterable[str]) -> Mapping[str, JobState]:
        """Return the states of those of the jobs that there are."""
        rows = await self._connection.execute(_STATES, {"job_ids": list(job_ids)})
        return {job_id: JobState(JobStatus(status), *others) for job_id, status, *others in rows}

    async def jobs(self, job_ids: Sequence[str]) -> Mapping[str, Job | Exception]:
        """Return those of the jobs that there are; for a row that another program has spoilt, the error of reading it.

        One such row must not keep the others from those who watch them.
        """
        rows = (await self._connection.execute(_JOBS, {"job_ids": list(job_ids)})).mappings()
        return {row["job_id"]: _job_or_error(row) for row in rows}


def _job_or_error(row: RowMapping) -> Job | Exception:
    try:
        return job_from_row(row)
    except Exception as error:  # noqa: BLE001 - the row may hold anything
        return error
