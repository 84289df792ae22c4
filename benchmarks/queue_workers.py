"""Worker processes that `benchmarks.queue` starts: `python -m benchmarks.queue_workers KIND [COUNT]`.

`noop` is the whole worker of this program with a pipeline that does nothing. `arq` is the bare library with a task that
does nothing. Both have SLOTS slots and use the servers that the environment names.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import uvloop
from arq.connections import RedisSettings
from arq.worker import Worker, func

from benchmarks.peers.peer import SLOTS
from domain.metrics.report import Analysis
from domain.sources import FetchedSource
from infrastructure.observability.log_setup import configure_logging
from infrastructure.settings import Settings, load_settings
from worker.analysis.core_pool import CorePool
from worker.analysis.pipeline import PipelineResult
from worker.analysis.pipeline_factory import source_limits
from worker.analysis.sandbox_profiles import UNLIMITED_MEMORY
from worker.process.worker_process import WorkerProcess

ARQ_QUEUE = "bench:queue"


class NoopPipeline:
    """Pipeline that does nothing."""

    def __init__(self, settings: Settings) -> None:
        self.limits = source_limits(settings)
        self.scratch_dir = Path(settings.scratch_dir)
        self.scratch_dir.mkdir(parents=True, exist_ok=True)
        self.cores = CorePool()
        # For checks of tracked repositories, of which there are none.
        self.children, self.memory, self.fetches = None, UNLIMITED_MEMORY, asyncio.Semaphore()
        self.guarantees = ()
        self.uses_cores = False

    async def run(self, *_: Any, **__: Any) -> PipelineResult:
        """Return an empty analysis at once."""
        completeness = {"files": 1, "analyzed": 1, "skipped": [], "collectors": {}}
        analysis = Analysis(
            metrics={"size": {"files": 1, "sloc": 1, "avg_file_sloc": 1}},
            file_tree={},
            findings={},
            errors=[],
            completeness=completeness,
            tool_versions={},
            history={},
            timings_ms={},
        )
        return PipelineResult(analysis=analysis, fetched=FetchedSource(has_history=False))


@asynccontextmanager
async def noop_pipeline(settings: Settings) -> AsyncIterator[NoopPipeline]:
    yield NoopPipeline(settings)


async def noop() -> None:
    """Run this program's worker until SIGTERM."""
    settings = load_settings().model_copy(update={"facts_cache_mb": 0})
    configure_logging(settings.log_level, "json")
    process = WorkerProcess(settings)
    process.handle_signals()
    with patch("worker.process.bootstrap.open_pipeline", noop_pipeline):
        await process.run()


async def arq(count: int) -> None:
    """Run ARQ's worker until so many jobs are done, and print when the first started and the last ended."""
    moments: list[float] = []

    async def nothing(_: dict[str, Any]) -> None:
        moments.append(time.time())

    worker = Worker(
        [func(nothing, name="nothing", keep_result=0)],  # type: ignore[arg-type]
        queue_name=ARQ_QUEUE,
        redis_settings=RedisSettings.from_dsn(load_settings().redis_dsn().get_secret_value()),
        max_jobs=SLOTS,
        poll_delay=0.02,
        burst=True,
        max_burst_jobs=count,
        handle_signals=False,
    )
    await worker.main()
    await worker.close()
    print(json.dumps([min(moments), max(moments)]))


def main() -> None:
    kind = sys.argv[1]
    if kind == "noop":
        uvloop.run(noop())  # as `vibe8 worker` does
    else:
        asyncio.run(arq(int(sys.argv[2])))


if __name__ == "__main__":
    main()
