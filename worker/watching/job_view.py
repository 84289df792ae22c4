"""A job as it is shown to those who watch it: its row as last read, with the progress of later events."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from domain.jobs import Job, JobStatus
from domain.text import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """The job as it is shown, and its row.

    A worker publishes each step of its progress, and writes it into the row with its heartbeats only. A row that is
    read is therefore often behind the events.
    """

    shown: Job
    row: Job
    has_event: bool = False
    """Whether an event arrived after the row was read."""

    def after_event(self, event: Mapping[str, JSON]) -> "JobView":
        """Return the view after an event of a running job."""
        shown = replace(self.shown, status=JobStatus.RUNNING, stage=event["stage"], progress=event["progress"])
        return replace(self, shown=shown, has_event=True)

    def after_read(self, row: Job) -> "JobView":
        """Return the view after the row was read again."""
        return JobView(shown=self._merge(row), row=row)

    def _merge(self, row: Job) -> Job:
        """Return the row that was read now, with the progress shown so far if that is newer.

        It is newer if the row says what it said before, and if an event arrived meanwhile that is ahead of it.
        """
        both_running = row.status is JobStatus.RUNNING is self.shown.status
        is_unchanged = (row.attempt, *watched_state(row)) == (self.row.attempt, *watched_state(self.row))
        is_overtaken = self.has_event and row.progress <= self.shown.progress
        if both_running and (is_unchanged or is_overtaken):
            return replace(row, stage=self.shown.stage, progress=self.shown.progress)
        return row


def watched_state(job: Job) -> tuple[JobStatus, str | None, int]:
    """Return what a change of is shown."""
    return job.status, job.stage, job.progress
