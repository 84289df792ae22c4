"""The operators' commands: who works, on what, and how to pause, resume and drain the fleet."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from domain.errors import NotFoundError
from domain.text import JSON, one_line, printable_line
from domain.workers import PAUSED, WorkerInfo
from infrastructure.database.engine import Database
from infrastructure.database.repositories.maintenance import MaintenanceRepository
from infrastructure.redis.queue import JobQueue, connect
from infrastructure.redis.worker_registry import ALL_WORKERS, DRAIN, WorkerRegistry
from infrastructure.settings import load_settings
from worker.cli.exit_codes import DONE
from worker.cli.output.grid import Grid
from worker.cli.output.writer import OutputWriter

REFRESH_SECONDS = 1.0
RING_LIMIT = 1_000


@asynccontextmanager
async def _opened() -> AsyncIterator[tuple[Database, WorkerRegistry, JobQueue]]:
    settings = load_settings()
    database = Database.from_settings(settings, "vibe8-operate")
    try:
        redis = await connect(settings.redis_dsn().get_secret_value())
        try:
            yield database, WorkerRegistry(redis), JobQueue(redis)
        finally:
            await redis.aclose()
    finally:
        await database.close()


async def workers(output: OutputWriter) -> int:
    """The replicas that have reported lately, their jobs and their last heartbeat."""
    async with _opened() as (_, registry, _):
        found = await registry.workers()
    if output.as_json:
        output.print_json([replica.to_json() for replica in found])
    elif found:
        _replica_grid(found).show(output.console)
    else:
        output.print_line("no worker has reported within the last minute")
    return DONE


def _replica_grid(replicas: list[WorkerInfo]) -> Grid:
    grid = Grid(
        headings=("worker", "host", "pid", "version", "up", "seen", "busy", "state", "jobs"),
        numbers=frozenset({"pid", "up", "seen", "busy"}),
    )
    now = time.time()
    for replica in replicas:
        grid.rows.append(
            (
                escape(printable_line(replica.replica_id)),
                escape(printable_line(replica.host)),
                str(replica.pid),
                escape(printable_line(replica.version)),
                f"{(now - replica.started_at) / 60:.0f} min",
                f"{max(0.0, now - replica.seen_at):.0f} s",
                f"{len(replica.jobs)}/{replica.slots}",
                escape(one_line(replica.state, 80)),
                escape(printable_line(" ".join(replica.jobs))),
            )
        )
    return grid


async def pause(output: OutputWriter, *, on: bool) -> int:
    """Keep every worker from claiming, or let them again. Running jobs go on; submissions wait."""
    async with _opened() as (database, _, doorbell):
        async with database.unit_of_work() as work:
            maintenance = MaintenanceRepository(work)
            changed = await maintenance.set_control(PAUSED, on=on)
            # Rings that led to nothing meanwhile are rung again at once, not by the sweep.
            unheard = [] if on else await maintenance.reissue_wakeups(older_than_seconds=0, limit=RING_LIMIT)
        for ring in unheard:
            await doorbell.enqueue(ring.job_id, ring.number)
    state = "paused: no worker claims; `vibe8 resume` ends this" if on else "running"
    if output.as_json:
        output.print_json({"paused": on, "changed": changed})
    else:
        output.print_line(f"the fleet is {state}" if changed else f"the fleet was already {state}")
    return DONE


async def drain(replica_id: str | None, output: OutputWriter) -> int:
    """Tell one worker, or all, to finish and end, as SIGTERM does. Raises NotFoundError for an unknown one."""
    async with _opened() as (_, registry, _):
        known = {replica.replica_id for replica in await registry.workers()}
        if replica_id is not None and replica_id not in known:
            raise NotFoundError(f"there is no worker {one_line(replica_id, 80)}; see `vibe8 workers`")
        told = sorted(known) if replica_id is None else [replica_id]
        await registry.send_command(DRAIN, replica_id or ALL_WORKERS)
    if output.as_json:
        output.print_json({"draining": list[JSON](told)})
    else:
        output.print_line(f"draining: {', '.join(told) or 'no worker has reported'}")
    return DONE


async def top(output: OutputWriter) -> int:
    """A live view until Ctrl-C; in a pipe or with --json, one look."""
    async with _opened() as (database, registry, _):
        console = output.console
        if output.as_json:
            output.print_json(await _facts(database, registry))
            return DONE
        if not console.is_terminal:
            for grid in await _grids(database, registry):
                grid.show(console)
            return DONE
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                with console.capture() as captured:
                    for grid in await _grids(database, registry):
                        grid.show(console)
                live.update(Group(Text.from_ansi(captured.get())), refresh=True)
                await asyncio.sleep(REFRESH_SECONDS)


async def _facts(database: Database, registry: WorkerRegistry) -> dict[str, JSON]:
    async with database.unit_of_work() as work:
        maintenance = MaintenanceRepository(work)
        counts = await maintenance.statistics()
        paused = await maintenance.is_control_set(PAUSED)
    queue = {
        status.value: {"jobs": count.jobs, "oldest_seconds": count.oldest_seconds} for status, count in counts.items()
    }
    return {"paused": paused, "queue": queue, "workers": [replica.to_json() for replica in await registry.workers()]}


async def _grids(database: Database, registry: WorkerRegistry) -> list[Grid]:
    facts = await _facts(database, registry)
    title = "jobs (the fleet is paused)" if facts["paused"] else "jobs"
    queue = Grid(headings=("status", "jobs", "oldest"), numbers=frozenset({"jobs", "oldest"}), title=title)
    for status, count in facts["queue"].items():
        oldest = f"{count['oldest_seconds']:.0f} s" if count["jobs"] else "-"
        queue.rows.append((status, str(count["jobs"]), oldest))
    return [queue, _replica_grid([WorkerInfo.from_json(replica) for replica in facts["workers"]])]
