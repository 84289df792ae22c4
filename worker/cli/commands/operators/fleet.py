"""`vibe8 workers`, `top`, `pause`, `resume` and `drain`: the commands for operators."""

import asyncio
import io
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from domain.audit import Action, Actor, Resource
from domain.errors import NotFoundError
from domain.text import JSON, one_line, printable_line
from domain.workers import PAUSED, WorkerInfo
from infrastructure.database.access.audit_log import AuditRepository
from infrastructure.database.engine import Database
from infrastructure.database.repositories.maintenance import MaintenanceRepository
from infrastructure.database.repositories.statistics import StatisticsRepository
from infrastructure.redis.queue import JobQueue, connect
from infrastructure.redis.worker_registry import ALL_WORKERS, DRAIN, WorkerRegistry
from infrastructure.settings import load_settings
from worker.cli.exit_codes import DONE
from worker.cli.output.grid import Grid
from worker.cli.output.jobs import SHORT_ID
from worker.cli.output.writer import OutputWriter

OLD_COUNT_SECONDS = 60.0
"""Workers count the jobs each 10 s; counts older than this are marked."""

REFRESH_SECONDS = 1.0


@asynccontextmanager
async def _open_services() -> AsyncIterator[tuple[Database, WorkerRegistry, JobQueue]]:
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
    """List the workers that have reported within the last minute."""
    async with _open_services() as (database, registry, _):
        found = await registry.workers()
        paused = await is_paused(database)
    if output.as_json:
        output.print_json([_worker_to_json(worker) for worker in found])
        return DONE
    if paused:
        output.print_line("the fleet is paused: no worker claims jobs until `vibe8 resume`")
    if found:
        _worker_grid(found).show(output.console)
    else:
        output.print_line("no worker has reported within the last minute")
    return DONE


async def is_paused(database: Database) -> bool:
    """Return whether `vibe8 pause` keeps the workers from claiming jobs."""
    async with database.unit_of_work() as work:
        return await MaintenanceRepository(work).is_control_set(PAUSED)


def _worker_to_json(worker: WorkerInfo) -> dict[str, JSON]:
    times = {name: datetime.fromtimestamp(getattr(worker, name), UTC).isoformat() for name in ("started_at", "seen_at")}
    return worker.to_json() | times


def _worker_grid(workers: Sequence[WorkerInfo]) -> Grid:
    grid = Grid(
        headings=("worker", "host", "pid", "version", "up", "seen", "busy", "state", "jobs"),
        numbers=frozenset({"pid", "up", "seen", "busy"}),
    )
    now = time.time()
    for worker in workers:
        grid.rows.append(
            (
                escape(printable_line(worker.replica_id)),
                escape(printable_line(worker.host)),
                str(worker.pid),
                escape(printable_line(worker.version)),
                f"{(now - worker.started_at) / 60:.0f} min",
                f"{max(0.0, now - worker.seen_at):.0f} s",
                f"{len(worker.jobs)}/{worker.slots}",
                escape(one_line(worker.state, 80)),
                escape(printable_line(" ".join(job_id[:SHORT_ID] for job_id in worker.jobs))),
            )
        )
    return grid


async def set_paused(output: OutputWriter, *, paused: bool) -> int:
    """Keep all workers from claiming jobs, or let them claim again."""
    async with _open_services() as (database, _, queue):
        async with database.unit_of_work() as work:
            changed = await MaintenanceRepository(work).set_paused(paused=paused)
        if not paused:
            await queue.wake_workers()  # otherwise idle workers look within seconds
    state = "paused: no worker claims jobs until `vibe8 resume`" if paused else "running"
    if output.as_json:
        output.print_json({"paused": paused, "changed": changed})
    else:
        output.print_line(f"the fleet is {state}" if changed else f"the fleet was already {state}")
    return DONE


async def drain(worker_id: str | None, output: OutputWriter) -> int:
    """Tell one worker, or all, to drain. Raises NotFoundError for an unknown worker."""
    async with _open_services() as (database, registry, _):
        known = {worker.replica_id for worker in await registry.workers()}
        if worker_id is not None and worker_id not in known:
            raise NotFoundError(f"there is no worker {one_line(worker_id, 80)}; see `vibe8 workers`")
        draining = sorted(known) if worker_id is None else [worker_id]
        async with database.unit_of_work() as work:
            # First, since a command without an entry would be worse than an entry without a command.
            await AuditRepository(work).record(
                Action.DRAIN, Resource.FLEET, worker_id, actor=Actor(operator=True), details={"workers": draining}
            )
        await registry.send_command(DRAIN, worker_id or ALL_WORKERS)
    if output.as_json:
        output.print_json({"draining": list[JSON](draining)})
    else:
        output.print_line(f"draining: {', '.join(draining) or 'no worker has reported'}")
    return DONE


async def top(output: OutputWriter) -> int:
    """Show the queue and the workers until Ctrl-C; in a pipe or with --json, once."""
    async with _open_services() as (database, registry, _):
        console = output.console
        if output.as_json:
            output.print_json(await _facts(database, await registry.workers()))
            return DONE
        if not console.is_terminal:
            for grid in await _grids(database, registry):
                grid.show(console)
            return DONE
        await _watch(console, database, registry)
    return DONE


async def _watch(console: Console, database: Database, registry: WorkerRegistry) -> None:
    """Redraw the screen each REFRESH_SECONDS, until Ctrl-C."""
    with suppress(asyncio.CancelledError), Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(Text.from_ansi(_render(await _grids(database, registry), console)), refresh=True)
            await asyncio.sleep(REFRESH_SECONDS)


def _render(grids: Sequence[Grid], screen: Console) -> str:
    """Return what the grids look like on the screen. A console of their own, since `Live` redirects the screen's."""
    drawing = Console(
        file=io.StringIO(),
        force_terminal=True,
        width=screen.width,
        highlight=False,
        emoji=False,
        no_color=screen.no_color,
    )
    with drawing.capture() as captured:
        for grid in grids:
            grid.show(drawing)
    return captured.get()


async def _facts(database: Database, found: Sequence[WorkerInfo]) -> dict[str, JSON]:
    async with database.unit_of_work() as work:
        statistics = await StatisticsRepository(work).read()
    paused = await is_paused(database)
    counts = {} if statistics is None else statistics.counts
    queue = {
        status.value: {"jobs": count.jobs, "oldest_seconds": count.oldest_seconds} for status, count in counts.items()
    }
    return {
        "paused": paused,
        "counted_seconds_ago": None if statistics is None else statistics.age_seconds,
        "queue": queue,
        "workers": [_worker_to_json(worker) for worker in found],
    }


def _notes(facts: dict[str, JSON]) -> list[str]:
    """Return what a reader of the counts must know."""
    notes, age = ["the fleet is paused"] if facts["paused"] else [], facts["counted_seconds_ago"]
    if age is None:
        notes.append("no worker has counted them yet")
    elif age > OLD_COUNT_SECONDS:
        notes.append(f"counted {age:.0f} s ago: no worker runs, or counting fails")
    return notes


async def _grids(database: Database, registry: WorkerRegistry) -> list[Grid]:
    found = await registry.workers()
    facts = await _facts(database, found)
    title = f"jobs ({', '.join(notes)})" if (notes := _notes(facts)) else "jobs"
    queue = Grid(headings=("status", "jobs", "oldest"), numbers=frozenset({"jobs", "oldest"}), title=title)
    for status, count in facts["queue"].items():
        oldest = f"{count['oldest_seconds']:.0f} s" if count["jobs"] else "-"
        queue.rows.append((status, str(count["jobs"]), oldest))
    return [queue, _worker_grid(found)]
