"""What collecting costs a running worker at the next commit; the tools' time has no clone in it either.

Wall time is of a worker's own pipeline, from the source lying in scratch to the whole analysis read back: the digests
of all files, the look-up in Redis, a fresh child in its sandbox and everything in it. CPU time is of the same in a
plain fork of this process, since the kernel adds up no time of a sandboxed child's. Each run is of a commit of its own,
and the last is held against a run that knows nothing.
"""

import asyncio
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from pydantic import SecretStr
from redis.asyncio import Redis

import worker.entries  # noqa: F401 - as the process has that children are forked from
from benchmarks.trees import change_files
from domain.metrics import Analysis
from infrastructure.embedded_servers import Valkey
from infrastructure.facts_cache import RedisFactsCache
from infrastructure.frames import Kind, encode, receive
from infrastructure.server_process import server_user
from infrastructure.settings import Settings
from worker.facts import FactsKeeper
from worker.local_pipeline import local_pipeline
from worker.pipeline import Pipeline
from worker.timeline import Timeline

CACHE_BYTES = 512 << 20
SCOPES = (("bench", "wall"), ("bench", "cpu"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Collecting:
    """Seconds of collecting: wall time and CPU time; and how many files the commit changed."""

    wall: float
    cpu: float
    changed: int


class PlainRunner:
    """A `ChildRunner` without a sandbox that knows what its last child used; the worker's part is in it, too."""

    def __init__(self) -> None:
        self.cpu = 0.0

    async def run(self, entry: str, request: Mapping[str, Any], **_options: object) -> Mapping[str, Any]:
        """Call the entry in a forked child."""
        return self._run(entry, request)

    def _run(self, entry: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        ours, theirs = socket.socketpair()
        child = os.fork()
        if child == 0:
            theirs.sendall(encode(Kind.ANSWER, resolve_name(entry)(request, lambda _: None)))
            os._exit(0)
        theirs.close()
        with ours:
            _, answer = receive(ours)
        used = os.wait4(child, 0)[2]
        self.cpu = used.ru_utime + used.ru_stime
        document: Mapping[str, Any] = answer
        return document


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
        async with Redis.from_url(url) as redis, local_pipeline(settings) as pipeline:
            keeper = FactsKeeper(RedisFactsCache(redis, CACHE_BYTES), pipeline.limits)
            yield replace(pipeline, facts=keeper)


async def _analyse(pipeline: Pipeline, tree: Path, scope: Sequence[str]) -> tuple[Analysis, float]:
    async def on_progress(_: object) -> None: ...

    timeline = Timeline()
    source = {"kind": "directory", "path": str(tree)}
    analysed = await pipeline.run(source, on_progress, timeline, scope)
    return replace(analysed.analysis, timings_ms={}), timeline.stages_ms()["collecting"] / 1000


async def _analyse_plainly(pipeline: Pipeline, tree: Path) -> tuple[Analysis, float]:
    runner, before = PlainRunner(), time.process_time()
    analysis, _ = await _analyse(replace(pipeline, children=runner), tree, SCOPES[1])
    return analysis, runner.cpu + time.process_time() - before


async def _rounds(tree: Path, share: float, runs: int, between: Callable[[], None]) -> AsyncIterator[Collecting]:
    async with running_pipeline() as pipeline:
        await _analyse(pipeline, tree, SCOPES[0])
        await _analyse_plainly(pipeline, tree)
        for _ in range(runs):
            changed = change_files(tree, share)
            warm, wall = await _analyse(pipeline, tree, SCOPES[0])
            same, cpu = await _analyse_plainly(pipeline, tree)
            yield Collecting(wall=wall, cpu=cpu, changed=changed)
            between()
        cold, _ = await _analyse(pipeline, tree, ())
    if not cold == warm == same:
        raise SystemExit("what is remembered has changed the numbers")


def next_commits(tree: Path, share: float, runs: int, between: Callable[[], None]) -> list[Collecting]:
    """What each of the next commits costs; `between` them something else is measured, so that it shares the weather."""

    async def all_rounds() -> list[Collecting]:
        return [cost async for cost in _rounds(tree, share, runs, between)]

    return asyncio.run(all_rounds())
