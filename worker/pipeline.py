"""From a source to its analysis: fetch, collect, look up the packages. No database, no queue.

`vibe8 analyze` and the queue's jobs run this same code, so their numbers agree.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from domain.metrics import Analysis
from domain.packages import with_latest_versions
from domain.ports import ChildRunner, PackageIndex, ProgressListener
from domain.sandbox import Guarantee, SandboxProfile
from domain.sources import FetchedSource
from domain.text import JSON, one_line
from infrastructure.frames import ATTACHMENT
from infrastructure.metrics import FETCHED_BYTES
from infrastructure.sources.limits import SourceLimits
from infrastructure.sources.scratch import Scratch
from infrastructure.versions import is_older
from worker.confinement import profiles
from worker.facts import FactsKeeper
from worker.scratch import job_directory
from worker.timeline import Timeline

NAMES_SHOWN = 5
FETCH = "worker.entries:fetch"
COLLECT = "worker.entries:collect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysed:
    """What the pipeline yields: the analysis, and where the code came from."""

    analysis: Analysis
    fetched: FetchedSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """How one source is analysed on this machine.

    `cores` bounds the analyses that compute at once; fetching, which waits on the network, is not bounded by it.
    `packages` is None where look-ups are switched off. `timeout` and `collector_timeout` are seconds; waiting for a
    core does not count. `guarantees` are what the children's sandbox is worth.
    """

    children: ChildRunner
    packages: PackageIndex | None
    limits: SourceLimits
    scratch_dir: Path
    cores: "Cores"
    timeout: float
    collector_timeout: float
    guarantees: Sequence[Guarantee] = ()
    facts: FactsKeeper | None = None

    async def run(
        self,
        source: Mapping[str, JSON],
        on_progress: ProgressListener,
        timeline: Timeline | None = None,
        scope: Sequence[str] = (),
    ) -> Analysed:
        """Analyse one source (as `worker.entries.fetch` reads it) in a scratch directory of its own.

        `scope` says whose source it is, and which: what is found out about its files is remembered for the same scope
        alone, and with none for nobody. Its stages are kept in the timeline. Raises PermanentError and TransientError
        as the children do. Nothing is left in scratch, whatever happens.
        """
        timeline = timeline or Timeline()
        async with job_directory(self.scratch_dir) as scratch:
            fetching, collecting = profiles(scratch, source)
            with timeline.span("fetching"):
                request = {"scratch": str(scratch), "source": source, "limits": self.limits.to_json()}
                answer = await self.children.run(
                    FETCH, request, sandbox=fetching, deadline=self.timeout, on_progress=on_progress
                )
            FETCHED_BYTES.labels(source["kind"]).inc(answer["bytes"])
            fetched = FetchedSource.from_json(answer)
            analysis = await self._collect(collecting, fetched, on_progress, timeline, scope)
        timings = {"fetching": timeline.stages_ms()["fetching"], **analysis.timings_ms}
        return Analysed(analysis=replace(analysis, timings_ms=timings), fetched=fetched)

    async def _collect(
        self,
        sandbox: SandboxProfile,
        fetched: FetchedSource,
        on_progress: ProgressListener,
        timeline: Timeline,
        scope: Sequence[str],
    ) -> Analysis:
        async with AsyncExitStack() as stack:
            with timeline.span("core_wait"):
                processes = await stack.enter_async_context(self.cores.some())
            request = {
                "scratch": sandbox.scratch,
                "fetched": fetched.to_json(),
                "processes": processes,
                "collector_timeout": self.collector_timeout,
            }
            with timeline.span("collecting"):
                recalled = None
                if self.facts is not None and scope:
                    recalled = await self.facts.recall(scope, Scratch(Path(sandbox.scratch)).tree, fetched.branch)
                    request[ATTACHMENT] = recalled.attachment
                answer = await self.children.run(
                    COLLECT, request, sandbox=sandbox, deadline=self.timeout, on_progress=on_progress
                )
        fields = {**answer}
        learned = fields.pop(ATTACHMENT, b"")
        with timeline.span("looking_up"):
            keeping = recalled.keep(learned) if recalled is not None else asyncio.sleep(0)
            analysis, _ = await asyncio.gather(self._look_up_packages(Analysis(**fields)), keeping)
            return analysis

    async def _look_up_packages(self, analysis: Analysis) -> Analysis:
        """Fill in `latest_version`; what the index did not answer stays null, is said, and makes `deps` partial."""
        health = analysis.metrics["deps"]["package_health"]
        if not health or self.packages is None:  # none imported, the collector failed, or look-ups are switched off
            return analysis
        latest = await self.packages.latest_versions([row["package"] for row in health])
        deps = {**analysis.metrics["deps"], "package_health": with_latest_versions(health, latest, is_older)}
        analysis = replace(analysis, metrics={**analysis.metrics, "deps": deps})
        unknown = sorted(row["package"] for row in health if row["package"] not in latest)
        return _with_gap(analysis, "deps", unknown, len(health)) if unknown else analysis


def _with_gap(analysis: Analysis, collector: str, unknown: Sequence[str], total: int) -> Analysis:
    shown = ", ".join(unknown[:NAMES_SHOWN]) + (", ..." if len(unknown) > NAMES_SHOWN else "")
    line = one_line(f"{collector}: the package index gave no answer for {len(unknown)} of {total} packages: {shown}")
    words = {**analysis.completeness["collectors"], collector: "partial"}
    completeness = {**analysis.completeness, "collectors": words}
    return replace(analysis, errors=[*analysis.errors, line], completeness=completeness)


def usable_cores() -> int:
    """Processors of the affinity mask, or fewer where the container (cgroup v2) may use less time than they have."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return cores if quota == "max" else max(1, min(cores, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return cores


class Cores:
    """The one bound on CPU-heavy children of this worker."""

    def __init__(self, count: int | None = None) -> None:
        """`count` defaults to the processors that this process may use, its container's limit included."""
        self.count = count or usable_cores()
        self._free = self.count
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def some(self) -> AsyncIterator[int]:
        """Wait for a core; take it, and all others that are free just now."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._free > 0)
            taken, self._free = self._free, 0
        try:
            yield taken
        finally:
            self._free += taken
            async with self._changed:
                self._changed.notify_all()
