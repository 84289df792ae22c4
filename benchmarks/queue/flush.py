"""Throughput before and after FLUSHALL: wake-ups that are lost must cost nothing while a worker has work."""

from collections.abc import Sequence

from redis.asyncio import Redis

from benchmarks.queue.bench import NOOP, WORKER, Bench, show
from worker.client import Client

PENDING = 1_000
"""Jobs that are pending at least when Redis loses everything."""

_RATES = """
    SELECT count(*) FILTER (WHERE finished_at <= $1) / extract(epoch FROM $1 - min(finished_at))::float8 AS before,
        count(*) FILTER (WHERE finished_at > $1) / extract(epoch FROM max(finished_at) - $1)::float8 AS after
    FROM jobs
"""


async def measure_flush(bench: Bench, client: Client, scale: float) -> None:
    """Print jobs a second before and after, for no-op jobs and for one-file uploads, with one worker."""
    for name, command, before in (("no-op jobs", NOOP, 4_000), ("one-file uploads", WORKER, PENDING)):
        rates = await _flush_once(bench, client, command, max(200, round(before * scale)))
        show(f"{name}/s before FLUSHALL", rates[0])
        show(f"{name}/s after FLUSHALL with {PENDING:,} pending or more", rates[1])
        show("  after, in per cent of before (goal: 90 or more)", 100 * rates[1] / rates[0], "%")


async def _flush_once(bench: Bench, client: Client, command: Sequence[str], before: int) -> tuple[float, float]:
    """Flush when at least `before` jobs have ended and as many or PENDING are left; return the rates."""
    total = 2 * before + PENDING
    await bench.refill(client, total)
    with bench.processes(command, 1) as running:
        await bench.wait(running, lambda: bench.count("finished_at IS NOT NULL"), at_least=before)
        async with Redis.from_url(bench.environment["REDIS_URL"]) as redis:
            await redis.flushall()
        moment = await bench.value("SELECT clock_timestamp()")
        pending = await bench.count("status = 'pending'")
        if pending < PENDING:
            raise SystemExit(f"only {pending} jobs were pending at the FLUSHALL: use a larger --scale")
        await bench.wait(running, lambda: bench.count("finished_at IS NOT NULL"), at_least=total)
    row = await bench.row(_RATES, moment)
    return float(row["before"]), float(row["after"])
