"""Which small uploads share a child, and what becomes of each."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from domain.errors import AnalysisKilledError, InvalidInputError
from domain.metrics.report import Analysis
from domain.ports import PREVIOUS_RESULT
from domain.sources import SMALL_UPLOAD_BYTES, FetchedSource
from infrastructure.sources.tree.limits import SourceLimits
from worker.analysis.core_pool import CorePool
from worker.analysis.pipeline import Pipeline, PipelineResult
from worker.analysis.shared_child import sharing as sharing_module
from worker.analysis.shared_child.sharing import COLLECT_EACH, ChildSharing
from worker.analysis.timeline import Timeline

FETCHED = {**FetchedSource(has_history=False).to_json(), "bytes": 1}


def document(name: str) -> Mapping[str, Any]:
    return Analysis(
        metrics={"deps": {"package_health": []}, "name": name},
        file_tree={},
        findings={},
        errors=[],
        completeness={"collectors": {}},
        tool_versions={},
        timings_ms={},
        history={},
    ).document()


class Children:
    """Children that return a document with the name of each upload, after `release` is set. Records the uploads."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.release.set()
        self.running = 0
        self.shared_error: Exception | None = None
        self.errors: dict[str, Mapping[str, str]] = {}
        self.reports: Sequence[Mapping[str, Any]] = ()

    async def run(
        self, _: str, request: Mapping[str, Any], *, on_progress: Any, follow_up: Any = None, **__: Any
    ) -> Mapping[str, Any]:
        shared = follow_up is not None and follow_up.entry == COLLECT_EACH
        names = [source["filename"] for source in (request["sources"] if shared else [request["source"]])]
        self.calls.append(names)
        self.running += 1
        self.started.set()
        try:
            for report in self.reports if shared else ():
                await on_progress(report)
            await self.release.wait()
        finally:
            self.running -= 1
        if not shared:
            return {**document(names[0]), PREVIOUS_RESULT: FETCHED}
        if self.shared_error is not None:
            raise self.shared_error
        uploads = [{"error": self.errors[name]} if name in self.errors else document(name) for name in names]
        return {"uploads": uploads, PREVIOUS_RESULT: {"uploads": [FETCHED] * len(names)}}


class Bench:
    """A pipeline with sharing on one core, and the uploads that run in it."""

    def __init__(self, scratch: Path, cores: int = 1, most: int = 8) -> None:
        self.children, self.cores = Children(), CorePool(cores)
        options: dict[str, Any] = {
            "children": self.children,
            "cores": self.cores,
            "limits": SourceLimits(),
            "scratch_dir": scratch,
            "timeout": 600.0,
            "collector_timeout": 1.0,
        }
        self.pipeline = Pipeline(packages=None, sharing=ChildSharing(**options, most=most), **options)
        self.stages: dict[str, list[str]] = {}

    def start(
        self, name: str, user: str = "ann", *, turn: int = 0, content: str = "eA==", timeline: Timeline | None = None
    ) -> "asyncio.Task[PipelineResult]":
        stages = self.stages[name] = []

        async def on_progress(progress: Mapping[str, Any]) -> None:
            stages.append(progress["stage"])

        source = {"kind": "upload", "filename": name, "file_data": content}
        scope = (user, "upload", name) if user else ()
        return asyncio.create_task(self.pipeline.run(source, on_progress, timeline, scope, turn=turn))

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Keep all cores busy; leave when the tasks of the block wait for one."""
        async with self.cores.acquire():
            yield
            await settle()

    async def all_cores_are_free(self) -> None:
        async with asyncio.timeout(5), self.cores.acquire() as cores:
            assert cores == self.cores.count


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def name_of(result: PipelineResult) -> str:
    return str(result.analysis.metrics["name"])


async def names_of(tasks: Sequence["asyncio.Task[PipelineResult]"]) -> list[str]:
    return [name_of(result) for result in await asyncio.gather(*tasks)]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    await bench.all_cores_are_free()
    async with asyncio.timeout(10):
        while list(tmp_path.iterdir()):
            await asyncio.sleep(0.01)


async def test_upload_that_finds_a_core_runs_alone(bench: Bench) -> None:
    assert name_of(await bench.start("a.py")) == "a.py"
    assert bench.children.calls == [["a.py"]]
    assert bench.stages["a.py"] == []


async def test_uploads_of_one_user_that_wait_share_the_next_core(bench: Bench) -> None:
    async with bench.busy():
        tasks = [bench.start(f"{number}.py", turn=number) for number in (2, 0, 1)]
    assert await names_of(tasks) == ["2.py", "0.py", "1.py"]
    assert bench.children.calls == [["0.py", "1.py", "2.py"]]
    assert bench.stages["0.py"] == ["waiting for a core"]


async def test_uploads_that_come_in_one_moment_share(bench: Bench) -> None:
    await names_of([bench.start(f"{number}.py") for number in range(3)])
    assert bench.children.calls == [["0.py", "1.py", "2.py"]]


async def test_users_never_share(bench: Bench) -> None:
    async with bench.busy():
        tasks = [bench.start(f"{user}{number}.py", user, turn=number) for number in (0, 1) for user in "ab"]
    await names_of(tasks)
    assert bench.children.calls == [["a0.py", "a1.py"], ["b0.py", "b1.py"]]


async def test_archives_and_jobs_without_a_user_do_not_share(bench: Bench) -> None:
    empty_archive = "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="
    async with bench.busy():
        tasks = [bench.start("a.zip", content=empty_archive), bench.start("b.py"), bench.start("c.py", "")]
    await names_of(tasks)
    assert bench.children.calls == [["b.py"], ["a.zip"], ["c.py"]] or sorted(map(len, bench.children.calls)) == [1] * 3


async def test_a_child_takes_no_more_uploads_than_allowed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, most=3)
    async with bench.busy():
        tasks = [bench.start(f"{number}.py", turn=number) for number in range(7)]
    await names_of(tasks)
    assert [len(call) for call in bench.children.calls] == [3, 3, 1]


async def test_a_child_takes_no_more_bytes_than_one_small_upload_may_have(bench: Bench) -> None:
    third = "eHh4" * (SMALL_UPLOAD_BYTES // 9)
    async with bench.busy():
        tasks = [bench.start(f"{number}.py", turn=number, content=third) for number in range(4)]
    await names_of(tasks)
    assert [len(call) for call in bench.children.calls] == [3, 1]


async def test_each_core_gets_its_part_of_what_waits(tmp_path: Path) -> None:
    bench = Bench(tmp_path, cores=2)
    async with bench.busy():
        tasks = [bench.start(f"{number}.py", turn=number) for number in range(6)]
    await names_of(tasks)
    assert sorted(len(call) for call in bench.children.calls) == [1, 2, 3]
    await bench.all_cores_are_free()


async def test_bad_upload_fails_alone(bench: Bench) -> None:
    bench.children.errors["1.py"] = {"type": "InvalidInputError", "message": "no good"}
    async with bench.busy():
        tasks = [bench.start(f"{number}.py", turn=number) for number in range(3)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [PipelineResult, InvalidInputError, PipelineResult]
    assert str(results[1]) == "no good"


@pytest.mark.parametrize("kind", ["TransientError", "LeaseLostError"])
async def test_error_that_may_be_another_uploads_fault_is_tried_again_alone(bench: Bench, kind: str) -> None:
    bench.children.errors["1.py"] = {"type": kind, "message": "no space left"}
    async with bench.busy():
        tasks = [bench.start(f"{number}.py", turn=number) for number in range(2)]
    assert await names_of(tasks) == ["0.py", "1.py"]
    assert bench.children.calls == [["0.py", "1.py"], ["1.py"]]


@pytest.mark.parametrize("error", [AnalysisKilledError("crashed"), KeyError("x"), InvalidInputError("false")])
async def test_each_upload_of_a_child_that_dies_runs_again_alone(bench: Bench, error: Exception) -> None:
    bench.children.shared_error = error
    async with bench.busy():
        tasks = [bench.start(f"{number}.py", turn=number) for number in range(3)]
    assert await names_of(tasks) == ["0.py", "1.py", "2.py"]
    assert bench.children.calls == [["0.py", "1.py", "2.py"], ["0.py"], ["1.py"], ["2.py"]]


async def started(bench: Bench, count: int) -> list["asyncio.Task[PipelineResult]"]:
    """Start a shared child that does not end, with so many uploads."""
    bench.children.release.clear()
    async with bench.busy():
        tasks = [bench.start(f"{number}.py", turn=number) for number in range(count)]
    await bench.children.started.wait()
    return tasks


async def test_cancelled_upload_leaves_the_results_of_the_others(bench: Bench) -> None:
    tasks = await started(bench, 3)
    tasks[0].cancel()
    await settle()
    assert not tasks[0].done()
    assert bench.children.running == 1
    bench.children.release.set()
    assert await names_of(tasks[1:]) == ["1.py", "2.py"]
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    assert bench.children.calls == [["0.py", "1.py", "2.py"]]


async def test_child_that_hangs_on_a_cancelled_upload_is_killed_and_the_others_run_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing_module, "LEAVE_SECONDS", 0.0)
    tasks = await started(bench, 3)
    tasks[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    bench.children.release.set()
    assert await names_of([tasks[0], tasks[2]]) == ["0.py", "2.py"]
    assert bench.children.calls == [["0.py", "1.py", "2.py"], ["0.py"], ["2.py"]]


async def test_child_is_killed_when_all_its_uploads_are_cancelled(bench: Bench) -> None:
    tasks = await started(bench, 3)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 3
    assert bench.children.running == 0
    assert len(bench.children.calls) == 1


@pytest.mark.parametrize("steps", range(4))
async def test_upload_that_is_cancelled_about_when_its_core_comes_keeps_none(bench: Bench, steps: int) -> None:
    async with bench.busy():
        first, second = bench.start("0.py", turn=0), bench.start("1.py", turn=1)
    for _ in range(steps):
        await asyncio.sleep(0)
    first.cancel()
    assert name_of(await second) == "1.py"
    await asyncio.gather(first, return_exceptions=True)
    alone = bench.start("2.py")
    for _ in range(steps):
        await asyncio.sleep(0)
    alone.cancel()
    await asyncio.gather(alone, return_exceptions=True)


async def test_progress_reaches_its_own_upload_and_junk_reaches_none(bench: Bench) -> None:
    bench.children.reports = [
        *({"upload": number, "stage": "collecting", "progress": 10} for number in (0, 1, 0)),
        *({"upload": number, "stage": "junk", "progress": 10} for number in (-1, 2, True, None, "0")),
        {"stage": "junk", "progress": 10},
    ]
    timelines = [Timeline(), Timeline()]
    async with bench.busy():
        tasks = [bench.start(f"{number}.py", turn=number, timeline=timelines[number]) for number in range(2)]
    await names_of(tasks)
    assert bench.stages == {
        "0.py": ["waiting for a core", "collecting", "collecting"],
        "1.py": ["waiting for a core", "collecting"],
    }
    stages = [[span.name for span in timeline.spans] for timeline in timelines]
    assert stages == [
        ["core_wait", "fetching", "collecting", "core_wait", "looking_up"],
        ["core_wait", "fetching", "core_wait", "collecting", "looking_up"],
    ]


async def test_express_upload_does_not_share(bench: Bench) -> None:
    source = {"kind": "upload", "filename": "e.py", "file_data": "eA=="}

    async def ignore(_: Mapping[str, Any]) -> None: ...

    async with bench.busy():
        waiting = bench.start("a.py")
        await settle()
        await bench.pipeline.run(source, ignore, scope=("ann", "upload", "e.py"), express=True)
    await waiting
    assert bench.children.calls == [["e.py"], ["a.py"]]


async def test_without_sharing_each_upload_has_a_child_of_its_own(bench: Bench) -> None:
    bench.pipeline = replace(bench.pipeline, sharing=None)
    async with bench.busy():
        tasks = [bench.start(f"{number}.py", turn=number) for number in range(3)]
    await names_of(tasks)
    assert bench.children.calls == [["0.py"], ["1.py"], ["2.py"]]
