"""What collecting costs a running worker at the next commit; the tools' time has no clone in it either.

Measured is a worker's own pipeline, from the source lying in scratch to the whole analysis read back: the digests of
all files, the look-up in Redis, a fresh child in its sandbox and everything in it. Each run is of a commit of its own,
and the last is held against a run that knows nothing.
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
from worker.analysis.pipeline import Pipeline
from worker.analysis.pipeline_factory import open_pipeline
from worker.analysis.source_facts import SourceFacts
from worker.analysis.timeline import Timeline

CACHE_BYTES = 512 << 20
SCOPE = ("bench",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collecting:
    """Seconds of collecting: wall time and CPU time; and how many files the commit changed."""

    wall: float
    cpu: float
    changed: int


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
    """A worker's pipeline with the process that its children are forked from, and a Redis of its own."""
    with tempfile.TemporaryDirectory(prefix="vibe8-bench-") as scratch, running_redis() as url:
        settings = Settings(package_index_url=SecretStr(""), scratch_dir=Path(scratch) / "scratch", max_clone_mb=4096)
        async with Redis.from_url(url) as redis, open_pipeline(settings) as pipeline:
            keeper = SourceFacts(RedisFactsCache(redis, CACHE_BYTES), pipeline.limits)
            yield replace(pipeline, facts=keeper)


async def _analyse(pipeline: Pipeline, tree: Path, scope: Sequence[str]) -> tuple[Analysis, float, float]:
    """The analysis, without its times; and collecting's wall and CPU time, this process's part in it."""

    async def on_progress(_: object) -> None: ...

    timeline, before = Timeline(), time.process_time() + _children_cpu()
    source = {"kind": "directory", "path": str(tree)}
    analysed = await pipeline.run(source, on_progress, timeline, scope)
    cpu = time.process_time() + _children_cpu() - before
    return replace(analysed.analysis, timings_ms={}), timeline.stages_ms()["collecting"] / 1000, cpu


def _children_cpu() -> float:
    """What children that collect have used up to now, as their guardians tell it."""
    return sum(
        sample.value
        for family in CHILD_CPU.collect()
        for sample in family.samples
        if sample.name.endswith("_total") and sample.labels["entry"] == "collect"
    )


async def _rounds(tree: Path, share: float, runs: int, between: Callable[[], None]) -> AsyncIterator[Collecting]:
    async with running_pipeline() as pipeline:
        await _analyse(pipeline, tree, SCOPE)
        for _ in range(runs):
            changed = change_files(tree, share)
            warm, wall, cpu = await _analyse(pipeline, tree, SCOPE)
            yield Collecting(wall=wall, cpu=cpu, changed=changed)
            between()
        cold, _, _ = await _analyse(pipeline, tree, ())
    if cold != warm:
        raise SystemExit("what is remembered has changed the numbers")


def next_commits(tree: Path, share: float, runs: int, between: Callable[[], None]) -> list[Collecting]:
    """What each of the next commits costs; `between` them something else is measured, so that it shares the weather."""

    async def all_rounds() -> list[Collecting]:
        return [cost async for cost in _rounds(tree, share, runs, between)]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as our worker does
        return runner.run(all_rounds())
