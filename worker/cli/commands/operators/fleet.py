"""`vibe8 workers`, `top`, `pause`, `resume` and `drain`: the commands for operators."""

import asyncio
import io
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from domain.text import JSON, one_line, printable_line
from domain.workers import PAUSED, WorkerInfo
from infrastructure.database.engine import Database
from infrastructure.database.repositories.maintenance import MaintenanceRepository
from infrastructure.settings import load_settings
from worker.cli.exit_codes import DONE
from worker.cli.output.grid import Grid
from worker.cli.output.jobs import SHORT_ID
from worker.cli.output.writer import OutputWriter
from worker.client.operator import OperatorClient
from worker.client.operators.fleet import FleetClient, worker_to_json

OLD_COUNT_SECONDS = 60.0
"""Workers count the jobs each 10 s; counts older than this are marked."""

REFRESH_SECONDS = 1.0


@asynccontextmanager
async def _open_fleet() -> AsyncIterator[FleetClient]:
    async with OperatorClient.open(load_settings()) as client:
        yield client.fleet


async def workers(output: OutputWriter) -> int:
    """List the workers that have reported within the last minute."""
    async with _open_fleet() as fleet:
        found, paused = await fleet.workers(), (await fleet.queue_state()).paused
    if output.as_json:
        output.print_json([worker_to_json(worker) for worker in found])
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
    async with _open_fleet() as fleet:
        changed = await fleet.set_paused(paused=paused)
    state = "paused: no worker claims jobs until `vibe8 resume`" if paused else "running"
    if output.as_json:
        output.print_json({"paused": paused, "changed": changed})
    else:
        output.print_line(f"the fleet is {state}" if changed else f"the fleet was already {state}")
    return DONE


async def drain(worker_id: str | None, output: OutputWriter) -> int:
    """Tell one worker, or all, to drain. Raises NotFoundError for an unknown worker."""
    async with _open_fleet() as fleet:
        draining = await fleet.drain(worker_id)
    if output.as_json:
        output.print_json({"draining": list[JSON](draining)})
    else:
        output.print_line(f"draining: {', '.join(draining) or 'no worker has reported'}")
    return DONE


async def top(output: OutputWriter) -> int:
    """Show the queue and the workers until Ctrl-C; in a pipe or with --json, once."""
    async with _open_fleet() as fleet:
        console = output.console
        if output.as_json:
            output.print_json(await _facts(fleet, await fleet.workers()))
            return DONE
        if not console.is_terminal:
            for grid in await _grids(fleet):
                grid.show(console)
            return DONE
        await _watch(console, fleet)
    return DONE


async def _watch(console: Console, fleet: FleetClient) -> None:
    """Redraw the screen each REFRESH_SECONDS, until Ctrl-C."""
    with suppress(asyncio.CancelledError), Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(Text.from_ansi(_render(await _grids(fleet), console)), refresh=True)
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


async def _facts(fleet: FleetClient, found: Sequence[WorkerInfo]) -> dict[str, JSON]:
    state = await fleet.queue_state()
    return {**state.to_json(), "workers": [worker_to_json(worker) for worker in found]}


def _notes(facts: dict[str, JSON]) -> list[str]:
    """Return what a reader of the counts must know."""
    notes, age = ["the fleet is paused"] if facts["paused"] else [], facts["counted_seconds_ago"]
    if age is None:
        notes.append("no worker has counted them yet")
    elif age > OLD_COUNT_SECONDS:
        notes.append(f"counted {age:.0f} s ago: no worker runs, or counting fails")
    return notes


async def _grids(fleet: FleetClient) -> list[Grid]:
    found = await fleet.workers()
    facts = await _facts(fleet, found)
    title = f"jobs ({', '.join(notes)})" if (notes := _notes(facts)) else "jobs"
    queue = Grid(headings=("status", "jobs", "oldest"), numbers=frozenset({"jobs", "oldest"}), title=title)
    for status, count in facts["queue"].items():
        oldest = f"{count['oldest_seconds']:.0f} s" if count["jobs"] else "-"
        queue.rows.append((status, str(count["jobs"]), oldest))
    return [queue, _worker_grid(found)]
