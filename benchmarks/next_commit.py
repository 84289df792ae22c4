"""What collecting costs a running worker at the next commit; the tools' time has no clone in it either.

Measured is the stage `collecting` of a job in the worker's own process: from the source lying in scratch to the whole
analysis read back, with the digests of all files, the look-up in Redis, a fresh sandboxed child and everything in it.
Each run is of a new commit that changes other files than the last.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr
from redis.asyncio import Redis

from benchmarks.trees import change_files
from domain.metrics import Analysis
from infrastructure.embedded_servers import Valkey
from infrastructure.facts_cache import RedisFactsCache
from infrastructure.server_process import server_user
from infrastructure.settings import Settings
from worker.facts import FactsKeeper
from worker.local_pipeline import local_pipeline
from worker.pipeline import Pipeline
from worker.timeline import Timeline

CACHE_BYTES = 512 << 20
SCOPE = ("bench", "directory", "tree")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Milliseconds of collecting, and what came of it."""

    collecting_ms: int
    analysis: Analysis


@contextmanager
def running_redis() -> Iterator[str]:
    """The address of a Valkey that holds nothing yet."""
    with tempfile.TemporaryDirectory(prefix="vibe8-bench-") as directory:
        Path(directory).chmod(0o711)
        valkey = Valkey(Path(directory), run_as=server_user(), durable=False)
        valkey.start()
        try:
            yield valkey.url()
        finally:
            valkey.stop()


@asynccontextmanager
async def running_pipeline() -> AsyncIterator[Pipeline]:
    """A worker's pipeline with its children's zygote, and a Redis of its own."""
    with tempfile.TemporaryDirectory(prefix="vibe8-bench-") as scratch, running_redis() as url:
        settings = Settings(package_index_url=SecretStr(""), scratch_dir=Path(scratch) / "scratch", max_clone_mb=4096)
        async with Redis.from_url(url) as redis, local_pipeline(settings) as pipeline:
            keeper = FactsKeeper(RedisFactsCache(redis, CACHE_BYTES), pipeline.limits)
            yield replace(pipeline, facts=keeper)


async def analyse(pipeline: Pipeline, tree: Path, scope: Sequence[str] = SCOPE) -> Run:
    """One job; with no scope nothing is remembered."""

    async def on_progress(_: object) -> None: ...

    timeline = Timeline()
    source = {"kind": "directory", "path": str(tree)}
    analysed = await pipeline.run(source, on_progress, timeline, scope)
    return Run(collecting_ms=timeline.stages_ms()["collecting"], analysis=analysed.analysis)


async def measure(tree: Path, share: float, runs: int) -> tuple[Run, list[Run], int]:
    """The first run, those after each of the next commits, and how many files each commit changes."""
    async with running_pipeline() as pipeline:
        first = await analyse(pipeline, tree)
        later, changed = [], 0
        for _ in range(runs):
            changed = change_files(tree, share)
            later.append(await analyse(pipeline, tree))
        cold = await analyse(pipeline, tree, ())
    if replace(cold.analysis, timings_ms={}) != replace(later[-1].analysis, timings_ms={}):
        raise SystemExit("the warm run says something else than a cold one")
    return first, later, changed


def next_commits(tree: Path, share: float, runs: int) -> tuple[Run, list[Run], int]:
    """The same, for programs that are not asynchronous."""
    return asyncio.run(measure(tree, share, runs))
