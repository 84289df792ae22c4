"""Rates and latencies of the queue: `make bench-queue`. Rates are by the database's clock, first claim to last end.

Everything runs on this machine: PostgreSQL (durable, as in production), Redis, the submitter and the workers. More
replicas therefore share the same processors. Compare the numbers of one run with each other, and consider the load
average that is printed beside them.
"""

import argparse
import asyncio
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers.peer import SLOTS
from benchmarks.queue.bench import Bench, free_port
from benchmarks.queue.flush import measure_flush
from benchmarks.queue.noop import measure_noop
from benchmarks.queue.peers import ARQ, PEERS, PeerQueue, describe
from benchmarks.queue.stranger import LINES, measure_stranger
from benchmarks.queue.submissions import measure_submissions, measure_uploads
from infrastructure.database.connecting import asyncpg_url
from infrastructure.database.migrate import upgrade
from infrastructure.embedded.stack import EmbeddedStack
from infrastructure.settings import load_settings
from worker.client import Client

SECTIONS = ("submissions", "uploads", "noop", "flush", "stranger")
REPLICAS = (1, 2, 4)


async def run(options: argparse.Namespace, peers: list[PeerQueue]) -> None:
    """Run the chosen sections one after the other; each prints its figures."""
    settings, bench = load_settings(), Bench(os.environ)
    await upgrade(asyncpg_url(bench.environment["DATABASE_URL"]))
    scale = options.scale
    async with Client.open(settings) as client:
        for section in options.only:
            match section:
                case "submissions":
                    await measure_submissions(bench, client, round(1000 * scale))
                case "uploads":
                    await measure_uploads(bench, client, options.replicas, round(1000 * scale))
                case "noop":
                    await measure_noop(bench, client, peers, options.replicas, options.rounds, scale)
                case "flush":
                    await measure_flush(bench, client, scale)
                case "stranger":
                    await measure_stranger(bench, client, options.lines)


def parse() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="number of jobs, as a factor of the usual number")
    parser.add_argument("--replicas", type=int, nargs="+", default=REPLICAS)
    parser.add_argument("--rounds", type=int, default=1, help="of no-op jobs; the medians are printed")
    parser.add_argument("--only", type=_names(SECTIONS), default=SECTIONS, help=f"of {','.join(SECTIONS)}")
    parser.add_argument("--peers", type=_names((ARQ, *PEERS)), default=(ARQ, *PEERS), help="of the no-op jobs")
    parser.add_argument("--lines", type=int, default=LINES, help="of each archive beside a stranger's upload")
    return parser.parse_args()


def _names(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    def split(text: str) -> tuple[str, ...]:
        names = tuple(filter(None, text.split(",")))
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: known are {', '.join(known)}")
        return names

    return split


def main() -> None:
    options = parse()
    peers = [describe(name) for name in options.peers] if "noop" in options.only else []
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} processors, Python {platform.python_version()}, {SLOTS} slots a replica", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # leaves the block, which stops the servers
    with tempfile.TemporaryDirectory(prefix="vibe8-bench-") as directory:
        Path(directory).chmod(0o711)
        with EmbeddedStack(Path(directory) / "home") as stack:
            os.environ.update(
                DATABASE_URL=stack.database_url, REDIS_URL=stack.redis_url, SCRATCH_DIR=f"{directory}/scratch",
                PACKAGE_INDEX_URL="", LOG_LEVEL="error", ARQ_MAX_JOBS=str(SLOTS),
                RECYCLE_AFTER_JOBS="0", STATUS_PORT=str(free_port()),
                MAX_CONCURRENT_JOBS_PER_USER="1000000", DAILY_JOB_LIMIT_PER_USER="1000000",
            )  # fmt: skip
            asyncio.run(run(options, peers))


if __name__ == "__main__":
    main()
