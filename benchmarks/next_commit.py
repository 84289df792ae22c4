"""The cost of collecting in a running worker at the next commit, when the facts of unchanged files are cached.

A worker's own pipeline is measured from the fetched source to the complete analysis: the digests of all files, the
look-up in Redis, and a new child process in its sandbox. Cloning is not included; it is not part of the tools' time
either. Each run measures a new commit. The last result is compared with a run without a cache.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import uvloop
from pydantic import SecretStr
from redis.asyncio import Redis

from benchmarks.trees import change_files
from domain.metrics.report import Analysis
from infrastructure.embedded.server_process import server_user
from infrastructure.embedded.servers import Valkey
from infrastructure.observability.prometheus_metrics import CHILD_CPU
from infrastructure.redis.facts_cache import RedisFactsCache
from infrastructure.settings import Settings
from worker.analysis.facts.source_facts import SourceFacts
from worker.analysis.pipeline import Pipeline
from worker.analysis.pipeline_factory import open_pipeline
from worker.analysis.timeline import Timeline
from worker.process.worker_process import exempt_from_collection

CACHE_BYTES = 512 << 20
SCOPE = ("bench",)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectingCost:
    """Wall time and CPU time of collecting in seconds, and the number of files that the commit changed."""

    wall: float
    cpu: float
    changed: int


@contextmanager
def running_redis() -> Iterator[str]:
    """Start an empty Valkey and yield its URL."""
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
    """Open a worker's pipeline with a zygote and an empty Redis."""
    with tempfile.TemporaryDirectory(prefix="vibe8-bench-") as scratch, running_redis() as url:
        settings = Settings(package_index_url=SecretStr(""), scratch_dir=Path(scratch) / "scratch", max_clone_mb=4096)
        async with Redis.from_url(url) as redis, open_pipeline(settings) as pipeline:
            facts = SourceFacts(RedisFactsCache(redis, CACHE_BYTES), pipeline.limits)
            exempt_from_collection()
            yield replace(pipeline, facts=facts)


async def _analyse(pipeline: Pipeline, tree: Path, scope: Sequence[str]) -> tuple[Analysis, float, float]:
    """Return the analysis without its times, and the wall and CPU time of collecting, this process included."""

    async def on_progress(_: object) -> None: ...

    timeline, before = Timeline(), time.process_time() + _children_cpu()
    source = {"kind": "directory", "path": str(tree)}
    analysed = await pipeline.run(source, on_progress, timeline, scope)
    cpu = time.process_time() + _children_cpu() - before
    return replace(analysed.analysis, timings_ms={}), timeline.stages_ms()["collecting"] / 1000, cpu


def _children_cpu() -> float:
    """Return the CPU seconds of the collecting children so far, as their supervisors report them."""
    return sum(
        sample.value
        for family in CHILD_CPU.collect()
        for sample in family.samples
        if sample.name.endswith("_total") and sample.labels["entry"] == "collect"
    )


async def _measure_commits(
    tree: Path, share: float, runs: int, between: Callable[[], None]
) -> AsyncIterator[CollectingCost]:
    async with running_pipeline() as pipeline:
        await _analyse(pipeline, tree, SCOPE)
        for _ in range(runs):
            changed = change_files(tree, share)
            warm, wall, cpu = await _analyse(pipeline, tree, SCOPE)
            yield CollectingCost(wall=wall, cpu=cpu, changed=changed)
            between()
        cold, _, _ = await _analyse(pipeline, tree, ())
    if cold != warm:
        raise SystemExit("the result with cached facts differs from the result without them")


def next_commits(tree: Path, share: float, runs: int, between: Callable[[], None]) -> list[CollectingCost]:
    """Return the cost of each next commit. `between` runs after each, so that both see the same load of the machine."""

    async def measure_all() -> list[CollectingCost]:
        return [cost async for cost in _measure_commits(tree, share, runs, between)]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # the worker's event loop
        return runner.run(measure_all())
