"""Requests a second and latencies of the HTTP service beside bare routes: `make bench-http`.

It starts PostgreSQL, Valkey, `vibe8 serve`, and two bare FastAPI applications that send the same statements to the same
PostgreSQL, one through SQLAlchemy, as the service does what it does not read with every request, and one through the
driver alone. All are measured in turn, several times; medians are printed. Everything runs on this machine, the load
program too, so compare the numbers of one run with each other. Afterwards all are asked while a worker runs jobs.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from benchmarks.analysis import machine
from benchmarks.http.bare import Access
from benchmarks.http.busy import busy_worker
from benchmarks.http.measuring import Figures, Server, bare, service
from benchmarks.http.recording import record
from benchmarks.http.seeds import Route, seed
from infrastructure.embedded.stack import EmbeddedStack
from infrastructure.observability.log_setup import configure_logging
from infrastructure.settings import load_settings

GOAL = 0.5
"""Requests a second of the service, as a share of those of the bare routes through SQLAlchemy."""

BUSY = ("--connections", "8", "--pause", "0.1")
"""Callers that poll while a worker runs jobs."""

SERVICE = "the service"
Servers = Mapping[str, Server]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of one measurement")
    parser.add_argument("--no-worker", action="store_true", help="leave out the part with a busy worker")
    options = parser.parse_args()
    configure_logging("warning", "json")
    with _servers() as (servers, routes):
        print(f"{machine()}; 16 connections, {options.rounds} rounds of {options.seconds:g} s, medians", flush=True)
        lasting = f"--seconds={options.seconds}"
        reached = [_compare(route, servers, options.rounds, lasting) for route in routes]
        if not options.no_worker:
            print("\nwhile a worker runs jobs in all of its slots; 8 connections, each polls every 0.1 s", flush=True)
            with busy_worker():
                for route in routes:
                    _compare(route, servers, options.rounds, lasting, *BUSY)
    if min(reached) < GOAL:
        sys.exit(f"the goal is missed: {min(reached):.2f} of a bare route's requests a second, not {GOAL}")


@contextmanager
def _servers() -> Iterator[tuple[Servers, Sequence[Route]]]:
    with tempfile.TemporaryDirectory(prefix="vibe8-bench-") as directory:
        Path(directory).chmod(0o711)
        with EmbeddedStack(Path(directory) / "home") as stack:
            os.environ.update(
                DATABASE_URL=stack.database_url, REDIS_URL=stack.redis_url, SCRATCH_DIR=f"{directory}/scratch",
                PACKAGE_INDEX_URL="", LOG_FORMAT="json", LOG_LEVEL="warning",
                MAX_CONCURRENT_JOBS_PER_USER="1000", DAILY_JOB_LIMIT_PER_USER="100000",
            )  # fmt: skip
            settings = load_settings()
            routes = asyncio.run(seed(settings))
            statements, url = asyncio.run(record(settings, routes)), stack.database_url
            with (
                service() as ours,
                bare(url, statements, Access.SQLALCHEMY) as by_sqlalchemy,
                bare(url, statements, Access.DRIVER) as by_driver,
            ):
                yield {SERVICE: ours, Access.SQLALCHEMY: by_sqlalchemy, Access.DRIVER: by_driver}, routes


def _compare(route: Route, servers: Servers, rounds: int, *options: str) -> float:
    """Measure the servers in turn, and print medians. Returns the share that `GOAL` is about."""
    measured = [{name: server.measure(route, *options) for name, server in servers.items()} for _ in range(rounds)]
    print(
        f"\n{route.name:<24}{'requests/s':>12}{'p50 ms':>10}{'p99 ms':>10}{'CPU ms a request':>18}{'service / it':>14}"
    )
    for name in servers:
        each = [figures[name] for figures in measured]
        rate, p50, p99, cpu = (statistics.median(getattr(one, field.name) for one in each) for field in fields(Figures))
        title = name if name == SERVICE else f"bare, {name}"
        print(f"{title:<24}{rate:12.0f}{p50:10.1f}{p99:10.1f}{cpu:18.2f}{_share(measured, name):14.2f}", flush=True)
    return _share(measured, Access.SQLALCHEMY)


def _share(measured: Sequence[Mapping[str, Figures]], other: str) -> float:
    """Return the median of the rounds' ratios of requests a second."""
    return statistics.median(figures[SERVICE].rate / figures[other].rate for figures in measured)


if __name__ == "__main__":
    main()
