"""Pipeline from a source to its analysis: fetch, collect, look up package versions. Uses no database and no queue.

`vibe8 analyze` and the workers both run it, so their numbers agree.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import structlog

from domain.errors import AnalysisKilledError, InvalidInputError
from domain.metrics.packages import LOOKS_UP_PACKAGES, PACKAGE_LISTS
from domain.metrics.report import Analysis
from domain.ports import PREVIOUS_RESULT, ChildRunner, FollowUp, PackageIndex, ProgressListener
from domain.sandbox import Guarantee, SandboxProfile
from domain.selection import SELECTION
from domain.sources import SMALL_UPLOAD_CHARACTERS, FetchedSource, can_share_child
from domain.text import JSON
from infrastructure.child_process.wire_protocol import ATTACHMENT, ITEMS, SENDS_ITEMS
from infrastructure.observability.child_metrics import add_fetched_bytes
from infrastructure.sources.git.added_lines import ADDED_LINES, ADDED_SINCE, read_added_lines
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import SourceLimits
from infrastructure.sources.uploads.upload import check_upload
from worker.analysis.core_pool import CorePool
from worker.analysis.facts.source_facts import KnownFacts, SourceFacts
from worker.analysis.facts.wire_format import NO_ENTRIES
from worker.analysis.package_lookup import PackageLookup
from worker.analysis.progress_watch import ProgressWatch
from worker.analysis.sandbox_profiles import UNLIMITED_MEMORY, MemoryBudget, build_profiles
from worker.analysis.shared_child.sharing import (
    ChildSharing,
    OwnCore,
    SharedResult,
    SharedUpload,
)
from worker.analysis.timeline import Timeline
from worker.analysis.workspace import Removals, job_workspace

WAITING_FOR_CORE = "waiting for a core"
WAITING_TO_FETCH = "waiting to fetch"
FETCH = "worker.analysis.child_tasks:fetch"
COLLECT = "worker.analysis.child_tasks:collect"
SINGLE_CHILD_SECONDS = 30.0
"""Deadline of a child that both fetches and collects; it usually needs 0.1 s."""

MAX_TIMING_MS = 10**9
"""Cap of each timing that a child reports: a child may have been taken over by the code that it analyses."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineResult:
    """The analysis of a source, and where its code came from."""

    analysis: Analysis
    fetched: FetchedSource
    added_lines: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Lines that were added since the source's `added_since` commits, by commit and role."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Analyses sources on this machine.

    `cores` limits the analyses that compute at the same time. Fetching, which waits for the network, needs no core;
    `fetches` limits it, and `memory` what each child may take. `packages` is None where look-ups are switched off.
    `timeout` and `collector_timeout` are seconds, without the time that a job waits for a core or for its turn to
    fetch. `guarantees` describe the children's sandbox. Without `facts` nothing is cached. With `uses_cores` a worker
    claims only a few more jobs than it has cores. Without `sharing` every upload has a child of its own.
    """

    children: ChildRunner
    packages: PackageIndex | None
    limits: SourceLimits
    scratch_dir: Path
    cores: CorePool
    timeout: float
    collector_timeout: float
    guarantees: Sequence[Guarantee] = ()
    uses_cores: bool = True
    facts: SourceFacts | None = None
    memory: MemoryBudget = UNLIMITED_MEMORY
    fetches: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(UNLIMITED_MEMORY.fetches))
    sharing: ChildSharing | None = None

    async def run(
        self,
        source: Mapping[str, JSON],
        on_progress: ProgressListener,
        timeline: Timeline | None = None,
        scope: Sequence[str] = (),
        *,
        turn: int = 0,
        express: bool = False,
        while_waiting: Callable[[], Awaitable[None]] | None = None,
    ) -> PipelineResult:
        """Analyse one source in a workspace of its own, which is removed at the end.

        `source` is what `worker.analysis.child_tasks.fetch` reads; it may name commits under ADDED_SINCE, and have
        under SELECTION what is to be measured. `scope` names
        the user and the source, for the cache of facts and for sharing a child; an empty one means neither. The stages
        are recorded in `timeline`. Of those that wait for a core the lowest `turn` is served first; an `express` job (a
        small upload) does not wait. `while_waiting` runs during that wait only, and what it raises ends the job. Raises
        PermanentError and TransientError as the children do; what is wrong with an upload as a whole is found before
        waiting for a core.
        """
        timeline = timeline or Timeline()
        async with Removals() as removals, PackageLookup(self.packages) as lookup:
            job = _JobInPipeline(
                on_progress=lookup.listener(on_progress),
                timeline=timeline,
                scope=scope,
                turn=turn,
                express=express,
                while_waiting=while_waiting,
                lookup=lookup,
                removals=removals,
            )
            output = await self._fetch_and_collect(source, job)
            add_fetched_bytes(source["kind"], output.fetched["bytes"])
            with timeline.span("looking_up"):
                complete = lookup.complete(output.analysis, output.package_lists)
                analysis, _ = await asyncio.gather(complete, self._put_facts(output))
        reported = {name: min(max(int(took), 0), MAX_TIMING_MS) for name, took in analysis.timings_ms.items()}
        analysis = replace(analysis, timings_ms={"fetching": timeline.stages_ms()["fetching"], **reported})
        added = read_added_lines(output.collected.get(ADDED_LINES), source.get(ADDED_SINCE, ()))
        return PipelineResult(analysis=analysis, fetched=FetchedSource.from_json(output.fetched), added_lines=added)

    async def _fetch_and_collect(self, source: Mapping[str, JSON], job: "_JobInPipeline") -> "_ChildOutput":
        if source["kind"] != "upload":
            return await self._run_two_children(source, job)
        small = len(source["file_data"]) <= SMALL_UPLOAD_CHARACTERS
        check = partial(check_upload, source["filename"], source["file_data"], self.limits)
        try:
            _ = check() if small else await asyncio.to_thread(check)
        except InvalidInputError:
            with job.timeline.span("fetching"):
                raise
        output = await self._run_single_child(source, job) if small else None
        return output or await self._run_two_children(source, job)

    async def _run_single_child(self, source: Mapping[str, JSON], job: "_JobInPipeline") -> "_ChildOutput | None":
        """Fetch and collect in one child, without the cache of facts.

        For a small upload, a second child or the cache would take as long as the analysis itself. Returns None where
        the child is killed: then two children run, so that a hostile file is contained as in any other source.
        """
        async with AsyncExitStack() as stack:
            shared = await self._acquire_core_or_share(stack, source, job)
            if shared is not None:
                return _ChildOutput(fetched=shared.fetched, collected=shared.collected)
            scratch = await stack.enter_async_context(job_workspace(self.scratch_dir, job.removals))
            sandbox, _ = build_profiles(scratch, source)
            sandbox = self.memory.analysing(sandbox, 1, express=job.express)
            with job.timeline.consecutive_spans("fetching") as start_span:
                try:
                    collected = await self.children.run(
                        FETCH,
                        self._fetch_request(scratch, source),
                        sandbox=sandbox,
                        deadline=min(self.timeout, SINGLE_CHILD_SECONDS),
                        on_progress=_start_collecting_span(start_span, job.on_progress),
                        follow_up=FollowUp(entry=COLLECT, request=self._collect_request(scratch, source, processes=0)),
                    )
                except AnalysisKilledError as error:
                    log.info("analysis.single_child_killed", reason=str(error))
                    return None
        return _ChildOutput(fetched=collected[PREVIOUS_RESULT], collected=collected)

    async def _acquire_core_or_share(
        self, stack: AsyncExitStack, source: Mapping[str, JSON], job: "_JobInPipeline"
    ) -> SharedResult | None:
        """Wait for a core, which `stack` then holds, or return the result from a child of another upload."""
        if self.sharing is not None and job.scope and not job.express and can_share_child(source["filename"]):
            with job.timeline.consecutive_spans("core_wait") as start_span:
                upload = SharedUpload(
                    user=job.scope[0],
                    turn=job.turn,
                    source=source,
                    on_progress=job.on_progress,
                    start_span=start_span,
                )
                outcome = await self.sharing.acquire(upload, job.wait)
            if isinstance(outcome, SharedResult):
                return outcome
            if isinstance(outcome, OwnCore):
                stack.callback(self.cores.release, 1)
                return None
            log.info("analysis.shared_child_killed", reason=outcome.reason)
        await self._acquire_cores(stack, job, at_most=1)
        return None

    async def _run_two_children(self, source: Mapping[str, JSON], job: "_JobInPipeline") -> "_ChildOutput":
        """Fetch in one child, which may use the network, and collect in another, which may not."""
        job.lookup.prepare()
        async with job_workspace(self.scratch_dir, job.removals) as scratch:
            fetching, collecting = build_profiles(scratch, source)
            request = self._fetch_request(scratch, source)
            if self.fetches.locked():
                await job.on_progress({"stage": WAITING_TO_FETCH, "progress": 0})
            async with self.fetches:
                with job.timeline.span("fetching"):
                    fetched = await self._run_child(FETCH, request, self.memory.fetching(fetching), job)
            return await self._collect(collecting, fetched, source, job)

    async def _collect(
        self, sandbox: SandboxProfile, fetched: Mapping[str, JSON], source: Mapping[str, JSON], job: "_JobInPipeline"
    ) -> "_ChildOutput":
        async with AsyncExitStack() as stack:
            processes = await self._acquire_cores(stack, job)
            scratch = Path(sandbox.scratch)
            request = {**self._collect_request(scratch, source, processes), PREVIOUS_RESULT: fetched}
            request |= {ADDED_SINCE: source.get(ADDED_SINCE, ()), SENDS_ITEMS: True}
            known: KnownFacts | None = None

            async def attach(facts: SourceFacts) -> bytes:
                nonlocal known
                # The entry of a file has the facts of all collectors that ran, so other ones have other entries.
                scope = (*job.scope, *request[SELECTION].get("collectors", ()))
                known = await facts.get(scope, SourceLayout(scratch).tree, fetched["branch"])
                return known.attachment

            with job.timeline.span("collecting"):
                sandbox = self.memory.analysing(sandbox, processes, express=job.express)
                attachment = partial(attach, self.facts) if self.facts is not None and job.scope else None
                collected = await self._run_child(COLLECT, request, sandbox, job, attachment)
        return _ChildOutput(fetched=fetched, collected=collected, known=known)

    async def _run_child(
        self,
        entry: str,
        request: Mapping[str, JSON],
        sandbox: SandboxProfile,
        job: "_JobInPipeline",
        attachment: Callable[[], Awaitable[bytes]] | None = None,
    ) -> Mapping[str, JSON]:
        watch = ProgressWatch(self.timeout, job.on_progress)
        child = self.children.run(
            entry,
            request,
            sandbox=sandbox,
            deadline=self.timeout,
            on_progress=watch.listen,
            attachment=attachment,
        )
        return await watch.result_of(child)

    async def _acquire_cores(self, stack: AsyncExitStack, job: "_JobInPipeline", at_most: int | None = None) -> int:
        with job.timeline.span("core_wait"):
            cores = self.cores.acquire(at_most, turn=job.turn, while_waiting=job.wait, express=job.express)
            return await stack.enter_async_context(cores)

    async def _put_facts(self, output: "_ChildOutput") -> None:
        if self.facts is not None and output.known is not None:
            await self.facts.put(output.known, output.collected.get(ATTACHMENT, NO_ENTRIES))

    def _fetch_request(self, scratch: Path, source: Mapping[str, JSON]) -> dict[str, JSON]:
        return {"scratch": str(scratch), "source": source, "limits": self.limits.to_json()}

    def _collect_request(self, scratch: Path, source: Mapping[str, JSON], processes: int) -> dict[str, JSON]:
        return {
            "scratch": str(scratch),
            "processes": processes,
            "collector_timeout": self.collector_timeout,
            LOOKS_UP_PACKAGES: self.packages is not None,
            SELECTION: source.get(SELECTION, {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _JobInPipeline:
    """The arguments of `Pipeline.run` beside the source."""

    on_progress: ProgressListener
    timeline: Timeline
    scope: Sequence[str]
    turn: int
    express: bool
    while_waiting: Callable[[], Awaitable[None]] | None
    lookup: PackageLookup
    removals: Removals

    async def wait(self) -> None:
        """Report that the job waits for a core, and do what is to be done meanwhile."""
        await self.on_progress({"stage": WAITING_FOR_CORE, "progress": 0})
        if self.while_waiting is not None:
            await self.while_waiting()


@dataclass(frozen=True, slots=True, kw_only=True)
class _ChildOutput:
    """What `fetch` and `collect` returned, and what the cache held before."""

    fetched: Mapping[str, JSON]
    collected: Mapping[str, JSON]
    known: KnownFacts | None = None

    @property
    def analysis(self) -> Analysis:
        """The analysis in what `collect` returned."""
        others = (ATTACHMENT, ITEMS, PREVIOUS_RESULT, PACKAGE_LISTS, ADDED_LINES)
        fields = {key: value for key, value in self.collected.items() if key not in others}
        if ITEMS in self.collected:
            fields["findings"] = {**fields["findings"], "items": self.collected[ITEMS]}
        return Analysis(**fields)

    @property
    def package_lists(self) -> JSON:
        """Which metrics list packages, as `collect` says."""
        return self.collected.get(PACKAGE_LISTS)


def _start_collecting_span(start_span: Callable[[str], None], on_progress: ProgressListener) -> ProgressListener:
    """Return a listener that starts the span `collecting` at the child's first report of it, and passes reports on."""
    collecting = False

    async def listen(progress: Mapping[str, JSON]) -> None:
        nonlocal collecting
        if not collecting and progress.get("stage") == "collecting":
            collecting = True
            start_span("collecting")
        await on_progress(progress)

    return listen
