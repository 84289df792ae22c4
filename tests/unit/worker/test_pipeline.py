"""What the pipeline adds to an analysis."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from domain.errors import AnalysisKilledError, InvalidInputError
from domain.metrics.report import Analysis
from domain.ports import PREVIOUS_RESULT
from domain.sources import SMALL_UPLOAD_CHARACTERS, FetchedSource
from infrastructure.sources.tree.limits import SourceLimits
from worker.analysis.core_pool import CorePool
from worker.analysis.pipeline import SINGLE_CHILD_SECONDS, Pipeline

HEALTH = [
    {"package": "a", "installed": True, "outdated": None, "current_version": "1.0", "latest_version": None},
    {"package": "b", "installed": True, "outdated": None, "current_version": None, "latest_version": None},
    {"package": "c", "installed": True, "outdated": None, "current_version": "2.0", "latest_version": None},
]
ANALYSIS = Analysis(
    metrics={"deps": {"total_modules": 3, "package_health": HEALTH}},
    file_tree={},
    findings={},
    errors=[],
    completeness={"collectors": {"deps": "ok"}},
    tool_versions={},
    timings_ms={},
)


class Index:
    def __init__(self, answers: Mapping[str, str | None]) -> None:
        self._answers = answers

    async def latest_versions(self, packages: Sequence[str]) -> Mapping[str, str | None]:
        return self._answers


class NoChildren:
    async def run(self, *arguments: Any, **options: Any) -> Mapping[str, Any]:
        raise AssertionError


def pipeline(index: Index | None) -> Pipeline:
    return Pipeline(
        children=NoChildren(),
        packages=index,
        limits=SourceLimits(),
        scratch_dir=Path("unused"),
        cores=CorePool(1),
        timeout=1,
        collector_timeout=1,
    )


async def test_latest_versions_are_filled_in() -> None:
    answers = {"a": "1.5", "b": "9", "c": None}  # c: the index knows no such package
    analysis = await pipeline(Index(answers))._look_up_packages(ANALYSIS)
    rows = analysis.metrics["deps"]["package_health"]
    assert [(row["latest_version"], row["outdated"]) for row in rows] == [("1.5", True), ("9", None), (None, None)]
    assert analysis.errors == []
    assert analysis.completeness["collectors"] == {"deps": "ok"}


async def test_no_answer_is_said_and_makes_deps_partial() -> None:
    analysis = await pipeline(Index({"a": "1.0"}))._look_up_packages(ANALYSIS)
    assert analysis.errors == ["deps: the package index gave no answer for 2 of 3 packages: b, c"]
    assert analysis.completeness["collectors"] == {"deps": "partial"}


@pytest.mark.parametrize("health", [[], None])
async def test_nothing_to_look_up(health: Any) -> None:
    empty = replace(ANALYSIS, metrics={"deps": {"total_modules": None, "package_health": health}})
    assert await pipeline(Index({}))._look_up_packages(empty) == empty
    assert await pipeline(None)._look_up_packages(ANALYSIS) == ANALYSIS


async def test_cores_are_shared_and_given_back() -> None:
    cores = CorePool(3)
    async with cores.acquire() as taken:
        assert taken == 3
    async with cores.acquire(1) as one, cores.acquire() as others:
        assert (one, others) == (1, 2)
    async with cores.acquire() as taken:
        assert taken == 3


async def test_nobody_takes_a_core_that_others_wait_for() -> None:
    cores = CorePool(4)
    taken: list[int] = []

    async def work() -> None:
        async with cores.acquire() as count:
            taken.append(count)
            while len(taken) < 3:
                await asyncio.sleep(0)

    async with cores.acquire() as all_of_them:
        assert all_of_them == 4
        working = [asyncio.create_task(work()) for _ in range(3)]
        await asyncio.sleep(0)
    await asyncio.gather(*working)
    assert taken == [2, 1, 1]


class FrailChildren:
    """One that is to do everything does not live; each that does less does."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.asked: list[tuple[str, bool, str, float]] = []

    async def run(
        self, entry: str, request: Mapping[str, Any], *, deadline: float, follow_up: object = None, **_: Any
    ) -> Mapping[str, Any]:
        assert list(Path(request["scratch"]).iterdir()) == []
        self.asked.append((entry.partition(":")[2], follow_up is not None, request["scratch"], deadline))
        if follow_up is not None:
            (Path(request["scratch"]) / "left").touch()
            raise self.error
        if entry.endswith(":fetch"):
            return {**FetchedSource(has_history=False).to_json(), "bytes": 1}
        return ANALYSIS.document()


async def nothing(_: Mapping[str, Any]) -> None: ...


def upload(content: str) -> Mapping[str, Any]:
    return {"kind": "upload", "filename": "a.py", "file_data": content}


async def test_what_one_process_does_not_survive_is_taken_with_the_usual_precautions(tmp_path: Path) -> None:
    children = FrailChildren(AnalysisKilledError("crashed"))
    frail = replace(pipeline(None), children=children, scratch_dir=tmp_path, timeout=600)
    assert (await frail.run(upload("eA=="), nothing)).analysis.metrics == ANALYSIS.metrics
    assert [asked[:2] for asked in children.asked] == [("fetch", True), ("fetch", False), ("collect", False)]
    assert [asked[3] for asked in children.asked] == [SINGLE_CHILD_SECONDS, 600, 600]
    assert children.asked[0][2] != children.asked[1][2] == children.asked[2][2]
    assert list(tmp_path.iterdir()) == []


async def test_what_is_wrong_with_the_source_is_said_at_once(tmp_path: Path) -> None:
    children = FrailChildren(InvalidInputError("no zip"))
    frail = replace(pipeline(None), children=children, scratch_dir=tmp_path)
    with pytest.raises(InvalidInputError):
        await frail.run(upload("eA=="), nothing)
    assert len(children.asked) == 1


async def test_nothing_but_a_small_upload_is_taken_by_one_process(tmp_path: Path) -> None:
    children = FrailChildren(AssertionError())
    frail = replace(pipeline(None), children=children, scratch_dir=tmp_path)
    await frail.run(upload("x" * (SMALL_UPLOAD_CHARACTERS + 1)), nothing)
    await frail.run({"kind": "directory", "path": str(tmp_path)}, nothing)
    assert [asked[:2] for asked in children.asked] == [("fetch", False), ("collect", False)] * 2


class Boaster:
    """Says of its times what no clock says."""

    async def run(self, *_: Any, **__: Any) -> Mapping[str, Any]:
        told = replace(ANALYSIS, timings_ms={"collecting": 10**400, "summarizing": -5, "collect.mi": 7})
        return {**told.document(), PREVIOUS_RESULT: {**FetchedSource(has_history=False).to_json(), "bytes": 1}}


async def test_no_time_is_believed_that_would_break_a_clock(tmp_path: Path) -> None:
    boastful = replace(pipeline(None), children=Boaster(), scratch_dir=tmp_path)
    timings = dict((await boastful.run(upload("eA=="), nothing)).analysis.timings_ms)
    del timings["fetching"]
    assert timings == {"collecting": 10**9, "summarizing": 0, "collect.mi": 7}
