"""Cost of the hot path as the tables grow: `make bench-growth`.

Fills the embedded PostgreSQL with 1,000, 100,000 and 1,000,000 jobs and more, and prints four tables: the shared
buffers of each statement that the program runs, those of each page and list for operators, what claims cost behind
different backlogs and with many claimers at once, and the times of single operations. Exits with status 1 where a
claim's cost grows too much, or a claim is empty or cancelled.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from pathlib import Path

from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.growth.claim_costs import measure_claims
from benchmarks.growth.operations import measure_operations
from benchmarks.growth.pages import measure_pages
from benchmarks.growth.statements import measure_statements
from infrastructure.database.connecting import asyncpg_url
from infrastructure.database.migrate import upgrade
from infrastructure.embedded.stack import EmbeddedStack
from infrastructure.observability.log_setup import configure_logging

SIZES = (1_000, 100_000, 1_000_000)
SECTIONS = ("statements", "pages", "claims", "operations")
CLAIMERS = (1, 8, 50)
CLAIMS = 2_000


async def run(url: str, options: argparse.Namespace) -> bool:
    """Print the chosen tables; return whether all limits hold."""
    address = asyncpg_url(url)
    await upgrade(address)
    engine, good = create_async_engine(address), True
    try:
        if "statements" in options.only:
            await measure_statements(engine, options.sizes)
        if "pages" in options.only:
            await measure_pages(engine, options.sizes)
        if "claims" in options.only:
            sizes = options.sizes[0], options.sizes[-1]
            good = await measure_claims(engine, url, sizes, options.claimers, options.claims)
        if "operations" in options.only:
            await measure_operations(engine, url, options.sizes[-1])
    finally:
        await engine.dispose()
    return good


def main() -> None:
    """Measure in an embedded PostgreSQL that is removed afterwards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--only", choices=SECTIONS, nargs="+", default=SECTIONS)
    parser.add_argument("--claimers", type=int, nargs="+", default=CLAIMERS)
    parser.add_argument("--claims", type=int, default=CLAIMS, help="of all claimers together")
    options = parser.parse_args()
    configure_logging("error", "json")  # a line for each job that is cleaned would take as long as its cleanup
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # leaves the block, which stops the servers
    with tempfile.TemporaryDirectory(prefix="vibe8-growth-") as directory:
        stack = EmbeddedStack(Path(directory), durable=False)
        with stack as addresses:
            os.environ.update(DATABASE_URL=addresses.database_url, REDIS_URL=addresses.redis_url)
            good = asyncio.run(run(addresses.database_url, options))
    if not good:
        raise SystemExit("a claim's cost grows with the backlog, or a claim was empty or cancelled")


if __name__ == "__main__":
    main()
