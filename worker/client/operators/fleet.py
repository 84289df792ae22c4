"""The fleet for operators: the queue's counts, the workers, and pausing, resuming and draining them."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from domain.audit import Action, Actor, Resource
from domain.errors import NotFoundError, ServiceUnavailableError
from domain.jobs import JobStatus, StatusCount
from domain.statistics.ends import Ends
from domain.text import JSON, one_line
from domain.tracking.due_checks import DueCheck, DueCheckCursor
from domain.workers import PAUSED, WorkerInfo
from infrastructure.database.access.audit_log import AuditRepository
from infrastructure.database.repositories.maintenance import MaintenanceRepository
from infrastructure.database.repositories.statistics import StatisticsRepository
from infrastructure.database.tracking.due_checks import DueChecks
from infrastructure.redis.worker_registry import ALL_WORKERS, DRAIN
from worker.client.connections import Connections


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """The jobs of all users by status, as a worker counted them so many seconds ago; None: none has counted yet.

    While the fleet is `paused`, no worker claims jobs.
    """

    paused: bool
    counted_seconds_ago: float | None
    counts: Mapping[JobStatus, StatusCount]
    overdue_checks: int = 0
    """Tracked repositories whose check was due more than 10 minutes before the count, counted to 10,000."""

    def to_json(self) -> dict[str, JSON]:
        """Return the state as JSON."""
        return {
            "paused": self.paused,
            "counted_seconds_ago": self.counted_seconds_ago,
            "overdue_checks": self.overdue_checks,
            "queue": {
                status.value: {"jobs": count.jobs, "oldest_seconds": count.oldest_seconds}
                for status, count in self.counts.items()
            },
        }


def worker_to_json(worker: WorkerInfo) -> dict[str, JSON]:
    """Return a worker as JSON, with its times as ISO 8601 in UTC."""
    times = {name: datetime.fromtimestamp(getattr(worker, name), UTC).isoformat() for name in ("started_at", "seen_at")}
    return worker.to_json() | times


class FleetClient:
    """All workers and the queue, whoever the jobs belong to."""

    def __init__(self, connections: Connections, actor: Actor) -> None:
        self._database, self._queue = connections.database, connections.queue
        self._registry, self._actor = connections.registry, actor
        self._end_counts = connections.end_counts

    async def queue_state(self) -> QueueState:
        """Return the counts of all jobs, and whether the fleet is paused. Costs the same at any number of jobs."""
        async with self._database.unit_of_work() as work:
            statistics = await StatisticsRepository(work).read()
            paused = await MaintenanceRepository(work).is_control_set(PAUSED)
        return QueueState(
            paused=paused,
            counted_seconds_ago=None if statistics is None else statistics.age_seconds,
            counts={} if statistics is None else statistics.counts,
            overdue_checks=0 if statistics is None else statistics.overdue_checks,
        )

    async def workers(self) -> list[WorkerInfo]:
        """Return the workers that have reported within the last minute. Raises ServiceUnavailableError."""
        return await self._registry.workers()

    async def ends(self) -> Ends:
        """Return how many jobs have ended in each minute of the last hour. Raises ServiceUnavailableError.

        Redis counts them: those of an outage are missing.
        """
        return await self._end_counts.read()

    async def list_checks(self, *, limit: int, after: DueCheckCursor | None = None) -> list[DueCheck]:
        """Return one page of the checks of all tracked repositories, the one that is due for longest first.

        For the next page, pass the `cursor` of the last one as `after`. All pages cost the same.
        """
        async with self._database.unit_of_work() as work:
            return await DueChecks(work).list_page(limit=limit, after=after)

    async def set_paused(self, *, paused: bool) -> bool:
        """Keep all workers from claiming jobs, or let them claim again. Returns whether that changed anything."""
        async with self._database.unit_of_work() as work:
            changed = await MaintenanceRepository(work).set_paused(paused=paused, actor=self._actor)
        if not paused:
            with suppress(ServiceUnavailableError):  # idle workers look within seconds
                await self._queue.wake_workers()
        return changed

    async def drain(self, worker_id: str | None) -> Sequence[str]:
        """Tell one worker, or all, to finish their jobs and end. Returns the ids of those that were told.

        Raises NotFoundError for an unknown worker, and ServiceUnavailableError.
        """
        known = {worker.replica_id for worker in await self._registry.workers()}
        if worker_id is not None and worker_id not in known:
            raise NotFoundError(f"there is no worker {one_line(worker_id, 80)}; see `vibe8 workers`")
        draining = sorted(known) if worker_id is None else [worker_id]
        async with self._database.unit_of_work() as work:
            # First, since a command without an entry would be worse than an entry without a command.
            await AuditRepository(work).record(
                Action.DRAIN, Resource.FLEET, worker_id, actor=self._actor, details={"workers": draining}
            )
        await self._registry.send_command(DRAIN, worker_id or ALL_WORKERS)
        return draining
