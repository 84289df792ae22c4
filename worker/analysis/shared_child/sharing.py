"""Small uploads of one user that wait for a core at the same moment, and share the child process that gets it.

A fresh process costs as much as the analysis of a small file. So when a core becomes free for an upload, others of the
same user that wait as well run in the same child, each in a directory of its own. Nobody waits for company: an upload
that finds a free core starts at once, alone. If the child dies, each of its uploads is analysed again in a child of its
own, so that a hostile file costs only itself. Uploads of different users never share a child.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from domain.errors import PermanentError, Vibe8Error
from domain.ports import PREVIOUS_RESULT, ChildRunner, FollowUp, ProgressListener
from domain.selection import SELECTION
from domain.sources import SMALL_UPLOAD_CHARACTERS
from domain.text import JSON, one_line
from infrastructure.child_process.child_channel import child_error
from infrastructure.sources.tree.limits import SourceLimits
from worker.analysis.core_pool import CorePool, CoreRequest, run_until
from worker.analysis.sandbox_profiles import UNLIMITED_MEMORY, MemoryBudget, build_profiles
from worker.analysis.workspace import Removals, job_workspace

FETCH_EACH = "worker.analysis.shared_child.tasks:fetch_each"
COLLECT_EACH = "worker.analysis.shared_child.tasks:collect_each"

SHARED_CHILD_SECONDS = 10.0
"""Deadline of a shared child, which usually needs 0.1 s. Its uploads then run again, each in a child of its own."""

LEAVE_SECONDS = 1.0
"""Time that a child has to end by itself once one of its jobs is cancelled. A job must end five seconds after that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedUpload:
    """An upload that may share a child with others of `user`.

    `source` is what `worker.analysis.child_tasks.fetch` reads. `start_span` is called with the name of each stage that
    begins.
    """

    user: str
    turn: int
    source: Mapping[str, JSON]
    on_progress: ProgressListener
    start_span: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class OwnCore:
    """The upload has a core to itself, which the caller must release."""


@dataclass(frozen=True, slots=True)
class NotAnalysed:
    """The shared child ended without a result for the upload, which now runs alone; `reason` is one line."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedResult:
    """What `fetch` and `collect` returned for the upload in a shared child."""

    fetched: Mapping[str, JSON]
    collected: Mapping[str, JSON]


Outcome = OwnCore | NotAnalysed | SharedResult


@dataclass(slots=True, eq=False)
class _Member:
    upload: SharedUpload
    request: CoreRequest
    chosen: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Done once the upload has its core or its child."""
    outcome: asyncio.Future[Outcome] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    child: "_SharedChild | None" = None
    collecting: bool = False
    """Whether the child has said that it collects this upload. It says so once; what it repeats is ignored."""


class _SharedChild:
    """A shared child, from its start to its end."""

    def __init__(self, members: Sequence[_Member]) -> None:
        self.members = members
        self.task: asyncio.Task[None] | None = None
        self._left = 0
        self._current: _Member | None = None

    async def on_progress(self, progress: Mapping[str, JSON]) -> None:
        """Pass a report on to its upload. The child collects one upload after the other; the others wait meanwhile."""
        member = self._member(progress.get("upload"))
        if member is None or member.outcome.done():
            return
        if progress.get("stage") == "collecting" and not member.collecting:
            for other in self.members if self._current is None else [self._current]:
                if other is not member:
                    other.upload.start_span("core_wait")
            member.upload.start_span("collecting")
            member.collecting, self._current = True, member
        await member.upload.on_progress({key: value for key, value in progress.items() if key != "upload"})

    def _member(self, number: JSON) -> _Member | None:
        return self.members[number] if type(number) is int and 0 <= number < len(self.members) else None

    async def leave(self) -> None:
        """Wait until the child has ended, after the job of a member was cancelled.

        It is killed when no member is left, and after LEAVE_SECONDS, in case that the member is what it hangs on.
        """
        assert self.task is not None  # nosec B101 # noqa: S101 - set at its start
        self._left += 1
        if self._left == len(self.members):
            self.task.cancel()
        elif self._left == 1:
            asyncio.get_running_loop().call_later(LEAVE_SECONDS, self.task.cancel)
        while not self.task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({self.task})

    def finish(self, outcomes: Sequence[Outcome | PermanentError]) -> None:
        """Give each member its outcome."""
        for member, outcome in zip(self.members, outcomes, strict=True):
            if member.outcome.done():
                continue  # its job was cancelled
            if isinstance(outcome, PermanentError):
                member.outcome.set_exception(outcome)
            else:
                member.outcome.set_result(outcome)


class ChildSharing:
    """Decides which small uploads share a child, and runs the shared children."""

    def __init__(
        self,
        *,
        children: ChildRunner,
        cores: CorePool,
        limits: SourceLimits,
        scratch_dir: Path,
        timeout: float,
        collector_timeout: float,
        most: int,
        memory: MemoryBudget = UNLIMITED_MEMORY,
    ) -> None:
        """At most `most` uploads share a child. The times are seconds."""
        self._children = children
        self._cores = cores
        self._limits = limits
        self._scratch_dir = scratch_dir
        self._timeout = timeout
        self._collector_timeout = collector_timeout
        self._most = most
        self._memory = memory
        self._waiting: dict[str, list[_Member]] = {}

    async def acquire(self, upload: SharedUpload, while_waiting: Callable[[], Coroutine[None, None, None]]) -> Outcome:
        """Wait for a core, or for the result from the child of another upload.

        `while_waiting` is called if no core is free at once, and cancelled when the upload has its core or its child;
        what it raises ends the wait. Raises PermanentError as `fetch` and `collect` do. A cancelled call returns after
        the child that has the upload has ended.
        """
        member = _Member(upload, self._cores.request(upload.turn))
        self._waiting.setdefault(upload.user, []).append(member)
        # The callback runs after all jobs that became runnable in this moment, so that they are there to be chosen.
        member.request.granted.add_done_callback(lambda _: self._start(member))
        try:
            if not member.request.granted.done():
                await run_until(member.chosen, while_waiting())
            return await member.outcome
        except BaseException:
            await self._leave(member)
            raise

    async def _leave(self, member: _Member) -> None:
        if member.child is not None:
            await member.child.leave()
        elif member in self._waiting.get(member.upload.user, ()):
            self._remove(member)
            self._cores.withdraw(member.request)
        else:  # it had its core, and was cancelled before it could use it
            self._cores.release(1)

    def _remove(self, member: _Member) -> None:
        waiting = self._waiting[member.upload.user]
        waiting.remove(member)
        if not waiting:
            del self._waiting[member.upload.user]

    def _start(self, member: _Member) -> None:
        """Start the child of a member that has been granted a core, with others of its user that wait."""
        if member.request.granted.cancelled() or member.outcome.done():
            return
        members = self._choose(member)
        for chosen in members:
            self._remove(chosen)
            chosen.chosen.set_result(None)
        if len(members) == 1:
            member.outcome.set_result(OwnCore())
            return
        child = _SharedChild(members)
        for chosen in members:
            chosen.child = child
            chosen.upload.start_span("fetching")
            if chosen is not member:
                self._cores.withdraw(chosen.request)
        child.task = asyncio.create_task(self._run(child))

    def _choose(self, first: _Member) -> list[_Member]:
        """Return the uploads for one child: at most `most`, and no more bytes than one small upload may have.

        Where other cores will be free soon, they are left their part of what waits.
        """
        candidates = [
            other
            for other in self._waiting[first.upload.user]
            if not other.request.granted.done() and not other.outcome.done()
        ]
        most = min(self._most, -(-(self._cores.waiting + 1) // self._cores.count))
        chosen, characters = [first], len(first.upload.source["file_data"])
        for other in sorted(candidates, key=lambda member: member.request):
            characters += len(other.upload.source["file_data"])
            if len(chosen) >= most or characters > SMALL_UPLOAD_CHARACTERS:
                break
            chosen.append(other)
        return chosen

    async def _run(self, child: _SharedChild) -> None:
        """Run a shared child on its core, and give each member its outcome."""
        outcomes: Sequence[Outcome | PermanentError] = [NotAnalysed("a job of the child was cancelled")] * len(
            child.members
        )
        try:
            outcomes = await self._run_child(child)
        except Vibe8Error as error:
            outcomes = [NotAnalysed(one_line(str(error)))] * len(child.members)
        except Exception as error:  # noqa: BLE001 - each upload can still run alone
            outcomes = [NotAnalysed(one_line(f"{type(error).__name__}: {error}"))] * len(child.members)
        finally:
            self._cores.release(1)
            child.finish(outcomes)

    async def _run_child(self, child: _SharedChild) -> Sequence[Outcome | PermanentError]:
        sources = [member.upload.source for member in child.members]
        async with Removals() as removals, job_workspace(self._scratch_dir, removals) as scratch:
            sandbox, _ = build_profiles(scratch, sources[0])
            collect = {
                "scratch": str(scratch),
                "collector_timeout": self._collector_timeout,
                "selections": [source.get(SELECTION, {}) for source in sources],
            }
            result = await self._children.run(
                FETCH_EACH,
                {"scratch": str(scratch), "sources": sources, "limits": self._limits.to_json()},
                sandbox=self._memory.analysing(sandbox, 1),
                deadline=min(self._timeout, SHARED_CHILD_SECONDS),
                on_progress=child.on_progress,
                follow_up=FollowUp(entry=COLLECT_EACH, request=collect),
            )
        fetched, collected = result[PREVIOUS_RESULT]["uploads"], result["uploads"]
        return [_outcome(*pair) for pair in zip(fetched, collected, strict=True)]


def _outcome(fetched: Mapping[str, JSON], collected: Mapping[str, JSON]) -> Outcome | PermanentError:
    """Return the outcome of one upload. What may be the fault of another (a full disk) is tried again alone."""
    if "error" not in collected:
        return SharedResult(fetched=fetched, collected=collected)
    error = child_error(collected["error"])
    return error if isinstance(error, PermanentError) else NotAnalysed(str(error))
