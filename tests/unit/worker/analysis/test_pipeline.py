"""The pipeline: package versions, cores, and single child or two children."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from domain.errors import AnalysisKilledError, InvalidInputError, PermanentError
from domain.metrics.report import Analysis
from domain.ports import PREVIOUS_RESULT
from domain.sources import SMALL_UPLOAD_CHARACTERS, FetchedSource
from infrastructure.settings import Settings
from infrastructure.sources.tree.limits import SourceLimits
from worker.analysis.core_pool import CorePool
from worker.analysis.package_lookup import PackageLookup
from worker.analysis.pipeline import SINGLE_CHILD_SECONDS, WAITING_TO_FETCH, Pipeline
from worker.analysis.pipeline_factory import build_pipeline, memory_budget
from worker.analysis.progress_watch import ProgressWatch

HEALTH = [
    {"package": "a", "installed": True, "outdated": None, "current_version": "1.0", "latest_version": None},
    {"package": "b", "installed": True, "outdated": None, "current_version": None, "latest_version": None},
    {"package": "c", "installed": True, "outdated": None, "current_version": "2.0", "latest_version": None},
]
LISTS = [["deps", "package_health"]]
ANALYSIS = Analysis(
    metrics={"deps": {"total_modules": 3, "package_health": HEALTH}},
    file_tree={},
    findings={},
    errors=[],
    completeness={"collectors": {"deps": "ok"}},
    tool_versions={},
    timings_ms={},
    history={},
)


class Index:
    def __init__(self, answers: Mapping[str, str | None]) -> None:
        self._answers = answers

    async def prepare(self) -> None: ...

    async def latest_versions(self, packages: Sequence[str]) -> Mapping[str, str | None]:
        return self._answers


class UnusedChildren:
    """Fails if a child is started."""

    async def run(self, *arguments: Any, **options: Any) -> Mapping[str, Any]:
        raise AssertionError


def pipeline(index: Index | None) -> Pipeline:
    return Pipeline(
        children=UnusedChildren(),
        packages=index,
        limits=SourceLimits(),
        scratch_dir=Path("unused"),
        cores=CorePool(1),
        timeout=1,
        collector_timeout=1,
    )


async def test_latest_versions_are_filled_in() -> None:
    answers = {"a": "1.5", "b": "9", "c": None}  # c: the index knows no such package
    analysis = await PackageLookup(Index(answers)).complete(ANALYSIS, LISTS)
    rows = analysis.metrics["deps"]["package_health"]
    assert [(row["latest_version"], row["outdated"]) for row in rows] == [("1.5", True), ("9", None), (None, None)]
    assert analysis.errors == []
    assert analysis.completeness["collectors"] == {"deps": "ok"}


async def test_unanswered_look_ups_are_an_error_line_and_make_deps_partial() -> None:
    analysis = await PackageLookup(Index({"a": "1.0"})).complete(ANALYSIS, LISTS)
    assert analysis.errors == ["deps: the package index gave no answer for 2 of 3 packages: b, c"]
    assert analysis.completeness["collectors"] == {"deps": "partial"}


@pytest.mark.parametrize("health", [[], None])
async def test_analysis_without_packages_or_index_is_unchanged(health: Any) -> None:
    empty = replace(ANALYSIS, metrics={"deps": {"total_modules": None, "package_health": health}})
    assert await PackageLookup(Index({})).complete(empty, LISTS) == empty
    assert await PackageLookup(None).complete(ANALYSIS, LISTS) == ANALYSIS


async def test_cores_are_acquired_and_released() -> None:
    cores = CorePool(3)
    async with cores.acquire() as taken:
        assert taken == 3
    async with cores.acquire(1) as one, cores.acquire() as others:
        assert (one, others) == (1, 2)
    async with cores.acquire() as taken:
        assert taken == 3


async def test_core_that_others_wait_for_is_not_taken() -> None:
    cores = CorePool(4)
    taken: list[int] = []

    async def work() -> None:
        async with cores.acquire() as count:
            taken.append(count)
            while len(taken) < 3:
                await asyncio.sleep(0)

    async with cores.acquire() as all_cores:
        assert all_cores == 4
        tasks = [asyncio.create_task(work()) for _ in range(3)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert taken == [2, 1, 1]


class FailingSingleChild:
    """Children of which a single one fails, and two succeed. Records the calls."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.calls: list[tuple[str, bool, str, float]] = []

    async def run(
        self, entry: str, request: Mapping[str, Any], *, deadline: float, follow_up: object = None, **_: Any
    ) -> Mapping[str, Any]:
        assert list(Path(request["scratch"]).iterdir()) == []
        self.calls.append((entry.partition(":")[2], follow_up is not None, request["scratch"], deadline))
        if follow_up is not None:
            (Path(request["scratch"]) / "left").touch()
            raise self.error
        if entry.endswith(":fetch"):
            return {**FetchedSource(has_history=False).to_json(), "bytes": 1}
        return ANALYSIS.document()


async def ignore_progress(_: Mapping[str, Any]) -> None: ...


def upload(content: str) -> Mapping[str, Any]:
    return {"kind": "upload", "filename": "a.py", "file_data": content}


async def test_killed_single_child_is_replaced_by_two_children(tmp_path: Path) -> None:
    children = FailingSingleChild(AnalysisKilledError("crashed"))
    failing = replace(pipeline(None), children=children, scratch_dir=tmp_path, timeout=600)
    assert (await failing.run(upload("eA=="), ignore_progress)).analysis.metrics == ANALYSIS.metrics
    assert [call[:2] for call in children.calls] == [("fetch", True), ("fetch", False), ("collect", False)]
    assert [call[3] for call in children.calls] == [SINGLE_CHILD_SECONDS, 600, 600]
    assert children.calls[0][2] != children.calls[1][2] == children.calls[2][2]
    assert list(tmp_path.iterdir()) == []


async def test_invalid_source_is_not_analysed_again(tmp_path: Path) -> None:
    children = FailingSingleChild(InvalidInputError("no zip"))
    failing = replace(pipeline(None), children=children, scratch_dir=tmp_path)
    with pytest.raises(InvalidInputError):
        await failing.run(upload("eA=="), ignore_progress)
    assert len(children.calls) == 1


async def test_only_small_uploads_run_in_a_single_child(tmp_path: Path) -> None:
    children = FailingSingleChild(AssertionError())
    failing = replace(pipeline(None), children=children, scratch_dir=tmp_path)
    await failing.run(upload("x" * (SMALL_UPLOAD_CHARACTERS + 4)), ignore_progress)
    await failing.run({"kind": "directory", "path": str(tmp_path)}, ignore_progress)
    assert [call[:2] for call in children.calls] == [("fetch", False), ("collect", False)] * 2


class ImpossibleTimings:
    """A child that reports impossible timings."""

    async def run(self, *_: Any, **__: Any) -> Mapping[str, Any]:
        reported = replace(ANALYSIS, timings_ms={"collecting": 10**400, "summarizing": -5, "collect.mi": 7})
        return {**reported.document(), PREVIOUS_RESULT: {**FetchedSource(has_history=False).to_json(), "bytes": 1}}


async def test_reported_timings_are_limited(tmp_path: Path) -> None:
    untrusted = replace(pipeline(None), children=ImpossibleTimings(), scratch_dir=tmp_path)
    timings = dict((await untrusted.run(upload("eA=="), ignore_progress)).analysis.timings_ms)
    del timings["fetching"]
    assert timings == {"collecting": 10**9, "summarizing": 0, "collect.mi": 7}


class TimedOutChild:
    """A child that reports these percentages, one a time, and is killed at its deadline in `fails_in`."""

    def __init__(self, fails_in: str, percentages: Sequence[int]) -> None:
        self.fails_in, self.percentages = fails_in, percentages

    async def run(
        self, entry: str, request: Mapping[str, Any], *, on_progress: Any = None, deadline: float, **_: Any
    ) -> Mapping[str, Any]:
        if entry.partition(":")[2] != self.fails_in:
            return {**FetchedSource(has_history=False).to_json(), "bytes": 1}
        for percentage in self.percentages:
            await asyncio.sleep(deadline / len(self.percentages))
            await on_progress({"stage": "any", "progress": percentage})
        raise AnalysisKilledError("took longer than 1 s", timed_out=True)


@pytest.mark.parametrize("stage", ["fetch", "collect"])
@pytest.mark.parametrize(("percentages", "kind"), [([1, 2, 3, 4], AnalysisKilledError), ([1] * 8, PermanentError)])
async def test_child_without_progress_before_its_deadline_is_not_tried_again(
    tmp_path: Path, stage: str, percentages: Sequence[int], kind: type[Exception]
) -> None:
    failing = replace(pipeline(None), children=TimedOutChild(stage, percentages), scratch_dir=tmp_path, timeout=0.2)
    with pytest.raises(kind, match="took longer than 1 s"):
        await failing.run({"kind": "directory", "path": str(tmp_path)}, ignore_progress)


async def test_child_that_is_killed_for_another_reason_is_tried_again() -> None:
    async def child() -> None:
        raise AnalysisKilledError("used more memory")

    with pytest.raises(AnalysisKilledError):
        await ProgressWatch(0.0, ignore_progress).result_of(child())


class FetchingChildren:
    """Children whose fetches take a moment. Records their profiles, and how many fetch at the same time."""

    def __init__(self) -> None:
        self.fetching = self.most = 0
        self.guarantees: Sequence[Any] = ()
        self.profiles: dict[str, set[tuple[int | None, int | None]]] = {}

    async def run(self, entry: str, request: Mapping[str, Any], *, sandbox: Any, **_: Any) -> Mapping[str, Any]:
        name = entry.partition(":")[2]
        self.profiles.setdefault(name, set()).add((sandbox.memory_bytes, sandbox.total_memory_bytes))
        if name == "collect":
            return ANALYSIS.document()
        self.fetching += 1
        self.most = max(self.most, self.fetching)
        await asyncio.sleep(0.01)
        self.fetching -= 1
        return {**FetchedSource(has_history=False).to_json(), "bytes": 1}


async def test_only_so_many_sources_are_fetched_at_a_time_as_memory_is_meant_for(tmp_path: Path) -> None:
    children, stages, settings = FetchingChildren(), [], Settings(analysis_memory_mb=2048)
    limited = build_pipeline(settings, children, None, tmp_path, CorePool(1))  # type: ignore[arg-type]

    async def on_progress(progress: Mapping[str, Any]) -> None:
        stages.append(progress["stage"])

    directory = {"kind": "directory", "path": str(tmp_path)}
    await asyncio.gather(*(limited.run(directory, on_progress) for _ in range(5)))
    assert children.most == memory_budget(settings, cores=1).fetches == 2
    assert children.profiles == {"fetch": {(3 << 28, 1 << 30)}, "collect": {(None, 2 << 30)}}
    assert WAITING_TO_FETCH in stages
