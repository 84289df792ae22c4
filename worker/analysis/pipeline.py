"""From a source to its analysis: fetch, collect, look up the packages. No database, no queue.

`vibe8 analyze` and the queue's jobs run this same code, so their numbers agree.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from domain.errors import AnalysisKilledError
from domain.metrics.packages import with_latest_versions
from domain.metrics.report import Analysis
from domain.ports import BEFORE, ChildRunner, PackageIndex, ProgressListener, Sequel
from domain.sandbox import Guarantee, SandboxProfile
from domain.sources import SMALL_UPLOAD_CHARACTERS, FetchedSource
from domain.text import JSON, one_line
from infrastructure.child_process.wire_protocol import ATTACHMENT
from infrastructure.observability.prometheus_metrics import FETCHED_BYTES
from infrastructure.outbound.package_versions import is_older
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import SourceLimits
from worker.analysis.sandbox_profiles import profiles
from worker.analysis.source_facts import FactsKeeper, Recalled
from worker.analysis.timeline import Timeline
from worker.analysis.workspace import job_directory

NAMES_SHOWN = 5
FETCH = "worker.analysis.child_tasks:fetch"
COLLECT = "worker.analysis.child_tasks:collect"
AT_ONCE_SECONDS = 30.0
"""The most that such a child may take; it needs a tenth of a second."""

LONGEST_MS = 10**9
"""The most that a child is believed to have taken for anything."""

log = structlog.get_logger(__name__)


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
        """Analyse one source (as `worker.analysis.child_tasks.fetch` reads it) in a scratch directory of its own.

        `scope` says whose source it is, and which: what is found out about its files is remembered for the same scope
        alone, and with none for nobody. Its stages are kept in the timeline. Raises PermanentError and TransientError
        as the children do. Nothing is left in scratch, whatever happens.
        """
        timeline = timeline or Timeline()
        taken = None
        if source["kind"] == "upload" and len(source["file_data"]) <= SMALL_UPLOAD_CHARACTERS:
            taken = await self._at_once(source, on_progress, timeline)
        if taken is None:
            taken = await self._one_after_the_other(source, on_progress, timeline, scope)
        FETCHED_BYTES.labels(source["kind"]).inc(taken.before["bytes"])
        fields = {key: value for key, value in taken.answer.items() if key not in (ATTACHMENT, BEFORE)}
        with timeline.span("looking_up"):
            analysis, _ = await asyncio.gather(self._look_up_packages(Analysis(**fields)), taken.keep())
        told = {name: min(max(int(took), 0), LONGEST_MS) for name, took in analysis.timings_ms.items()}
        timings = {"fetching": timeline.stages_ms()["fetching"], **told}
        return Analysed(analysis=replace(analysis, timings_ms=timings), fetched=FetchedSource.from_json(taken.before))

    async def _at_once(
        self, source: Mapping[str, JSON], on_progress: ProgressListener, timeline: Timeline
    ) -> "_Taken | None":
        """One process for all; None where it does not survive: then the source is worth the usual precautions.

        Each process more, and remembering what was found out, would take as much time as a small upload itself.
        """
        async with job_directory(self.scratch_dir) as scratch, AsyncExitStack() as stack:
            sandbox, _ = profiles(scratch, source)
            with timeline.span("core_wait"):
                await stack.enter_async_context(self.cores.some(1))
            with timeline.stages("fetching") as turn:
                try:
                    answer = await self.children.run(
                        FETCH,
                        self._fetch_request(scratch, source),
                        sandbox=sandbox,
                        deadline=min(self.timeout, AT_ONCE_SECONDS),
                        on_progress=_turning(turn, on_progress),
                        then=Sequel(entry=COLLECT, request=self._collect_request(scratch, processes=0)),
                    )
                except AnalysisKilledError as error:
                    log.info("analysis.again", reason=str(error))
                    return None
        return _Taken(before=answer[BEFORE], answer=answer)

    async def _one_after_the_other(
        self, source: Mapping[str, JSON], on_progress: ProgressListener, timeline: Timeline, scope: Sequence[str]
    ) -> "_Taken":
        async with job_directory(self.scratch_dir) as scratch:
            fetching, collecting = profiles(scratch, source)
            request = self._fetch_request(scratch, source)
            with timeline.span("fetching"):
                before = await self.children.run(
                    FETCH, request, sandbox=fetching, deadline=self.timeout, on_progress=on_progress
                )
            return await self._collect(collecting, before, on_progress, timeline, scope)

    async def _collect(
        self,
        sandbox: SandboxProfile,
        before: Mapping[str, JSON],
        on_progress: ProgressListener,
        timeline: Timeline,
        scope: Sequence[str],
    ) -> "_Taken":
        async with AsyncExitStack() as stack:
            with timeline.span("core_wait"):
                processes = await stack.enter_async_context(self.cores.some())
            scratch, recalled = Path(sandbox.scratch), None
            request = {**self._collect_request(scratch, processes), BEFORE: before}
            with timeline.span("collecting"):
                if self.facts is not None and scope:
                    recalled = await self.facts.recall(scope, SourceLayout(scratch).tree, before["branch"])
                    request[ATTACHMENT] = recalled.attachment
                answer = await self.children.run(
                    COLLECT, request, sandbox=sandbox, deadline=self.timeout, on_progress=on_progress
                )
        return _Taken(before=before, answer=answer, recalled=recalled)

    def _fetch_request(self, scratch: Path, source: Mapping[str, JSON]) -> dict[str, JSON]:
        return {"scratch": str(scratch), "source": source, "limits": self.limits.to_json()}

    def _collect_request(self, scratch: Path, processes: int) -> dict[str, JSON]:
        return {"scratch": str(scratch), "processes": processes, "collector_timeout": self.collector_timeout}

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """What the children said: `before` of the source, `answer` of its code; and what was known of it."""

    before: Mapping[str, JSON]
    answer: Mapping[str, JSON]
    recalled: Recalled | None = None

    async def keep(self) -> None:
        """Remember what was found out."""
        if self.recalled is not None:
            await self.recalled.keep(self.answer.get(ATTACHMENT, b""))


def _turning(turn: Callable[[str], None], on_progress: ProgressListener) -> ProgressListener:
    """Passes on progress; when a child says for the first time that it collects, `turn` is told."""
    collecting = False

    async def listen(progress: Mapping[str, JSON]) -> None:
        nonlocal collecting
        if not collecting and progress.get("stage") == "collecting":
            collecting = True
            turn("collecting")
        await on_progress(progress)

    return listen


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
        self._waiting = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def some(self, most: int | None = None) -> AsyncIterator[int]:
        """Wait for a core; take it, and others that are free just now and that nobody waits for, up to `most`."""
        async with self._changed:
            self._waiting += 1
            try:
                await self._changed.wait_for(lambda: self._free > 0)
            finally:
                self._waiting -= 1
            taken = min(max(1, self._free - self._waiting), most or self.count)
            self._free -= taken
        try:
            yield taken
        finally:
            self._free += taken
            async with self._changed:
                self._changed.notify_all()
