"""Package look-ups beside collecting: what is asked when, and that no report of a child changes an answer."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from domain.metrics.packages import MAX_REPORTED_NAMES, PACKAGE_LISTS, PACKAGE_NAMES, reported_lists, reported_names
from domain.metrics.report import Analysis
from domain.sources import FetchedSource
from infrastructure.sources.tree.limits import SourceLimits
from worker.analysis.core_pool import CorePool
from worker.analysis.package_lookup import ASKING_INDEX, CONCURRENT_PREFETCHES
from worker.analysis.pipeline import Pipeline

VERSIONS = {"declared": "2.0", "other": "3.0", "imported": None}
DIRECTORY = {"kind": "directory", "path": "unused"}


def analysis_of(*packages: str) -> Analysis:
    health = [
        {"package": name, "installed": True, "outdated": None, "current_version": "1.0", "latest_version": None}
        for name in packages
    ]
    return Analysis(
        metrics={"deps": {"total_modules": len(packages), "package_health": health}},
        file_tree={},
        findings={},
        errors=[],
        completeness={"collectors": {"deps": "ok"}},
        tool_versions={},
        timings_ms={},
        history={},
    )


class RecordingIndex:
    """Index that records each call, and whether collecting had ended by then. Names in `hanging` get no answer."""

    def __init__(self, *, hanging: Sequence[str] = (), failures: int = 0) -> None:
        self.calls: list[tuple[list[str], bool]] = []
        self.collected = False
        self.prepared = False
        self.running = self.most_running = 0
        self._hanging = frozenset(hanging)
        self._failures = failures

    async def prepare(self) -> None:
        self.prepared = True

    async def latest_versions(self, packages: Sequence[str]) -> Mapping[str, str | None]:
        self.calls.append((list(packages), self.collected))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(3600 if self._hanging & set(packages) and not self.collected else 0)
        finally:
            self.running -= 1
        if self._failures:
            self._failures -= 1
            return {}
        return {name: VERSIONS.get(name) for name in packages}


class Children:
    """Children whose collecting child reports the given messages, and then returns an analysis of `packages`."""

    def __init__(self, index: RecordingIndex, packages: Sequence[str], *reports: Any, wait: bool = True) -> None:
        self._index, self._packages, self._reports, self._wait = index, packages, reports, wait
        self.lists: Any = [["deps", "package_health"]]

    async def run(self, entry: str, request: Mapping[str, Any], *, on_progress: Any, **_: Any) -> Mapping[str, Any]:
        if entry.endswith(":fetch"):
            return {**FetchedSource(has_history=False).to_json(), "bytes": 1}
        for report in self._reports:
            await on_progress({PACKAGE_NAMES: report})
        for _round in range(100 if self._wait else 0):
            await asyncio.sleep(0)
        self._index.collected = True
        return {**analysis_of(*self._packages).document(), PACKAGE_LISTS: self.lists}


async def analyse(tmp_path: Path, index: RecordingIndex | None, children: Any) -> tuple[Analysis, list[Any]]:
    progress: list[Any] = []

    async def on_progress(event: Mapping[str, Any]) -> None:
        progress.append(event)

    pipeline = Pipeline(
        children=children,
        packages=index,
        limits=SourceLimits(),
        scratch_dir=tmp_path,
        cores=CorePool(1),
        timeout=60,
        collector_timeout=60,
    )
    result = await pipeline.run({**DIRECTORY, "path": str(tmp_path)}, on_progress)
    return replace(result.analysis, timings_ms={}), progress


async def test_declared_packages_are_asked_beside_collecting_and_only_the_rest_after_it(tmp_path: Path) -> None:
    index = RecordingIndex()
    children = Children(index, ["declared", "imported"], ["declared", "other"])
    analysis, progress = await analyse(tmp_path, index, children)
    assert index.prepared
    assert index.calls == [(["declared"], False), (["other"], False), (["imported"], True)]
    assert [row["latest_version"] for row in analysis.metrics["deps"]["package_health"]] == ["2.0", None]
    assert progress == [{"stage": ASKING_INDEX, "progress": 90}]  # the report of names is not progress of the job


async def test_nothing_is_asked_after_collecting_if_all_packages_were_declared(tmp_path: Path) -> None:
    index = RecordingIndex()
    _, progress = await analyse(tmp_path, index, Children(index, ["declared"], ["declared"]))
    assert index.calls == [(["declared"], False)]
    assert progress == []


@pytest.mark.parametrize("reports", [(), ([],), (["declared"],), (["declared", "imported", "other"],), (["unknown"],)])
@pytest.mark.parametrize("wait", [True, False])
async def test_answers_are_the_same_whatever_was_asked_early(tmp_path: Path, reports: Any, wait: bool) -> None:
    index = RecordingIndex()
    expected, _ = await analyse(tmp_path, index, Children(index, ["declared", "imported"]))
    index = RecordingIndex()
    children = Children(index, ["declared", "imported"], *reports, wait=wait)
    assert (await analyse(tmp_path, index, children))[0] == expected


async def test_failed_early_look_up_is_asked_again(tmp_path: Path) -> None:
    index = RecordingIndex(failures=1)
    analysis, _ = await analyse(tmp_path, index, Children(index, ["declared"], ["declared"]))
    assert index.calls == [(["declared"], False), (["declared"], True)]
    assert analysis.errors == []


async def test_early_look_ups_that_are_not_needed_are_not_waited_for(tmp_path: Path) -> None:
    index = RecordingIndex(hanging=["other", "declared"])
    async with asyncio.timeout(30):
        analysis, _ = await analyse(tmp_path, index, Children(index, ["declared"], ["declared", "other"]))
    assert analysis.metrics["deps"]["package_health"][0]["latest_version"] == "2.0"
    assert index.running == 0


async def test_early_look_ups_end_with_a_cancelled_or_failed_job(tmp_path: Path) -> None:
    index = RecordingIndex(hanging=["declared"])

    class Failing(Children):
        async def run(self, entry: str, request: Mapping[str, Any], **options: Any) -> Mapping[str, Any]:
            result = await super().run(entry, request, **options)
            if entry.endswith(":collect"):
                assert index.running == 1
                raise asyncio.CancelledError
            return result

    with pytest.raises(asyncio.CancelledError):
        await analyse(tmp_path, index, Failing(index, ["declared"], ["declared"]))
    assert index.running == 0


@pytest.mark.parametrize(
    "report",
    [
        [f"name-{number}" for number in range(MAX_REPORTED_NAMES + 1)],
        ["x"] * 10**6,
        "declared",
        {"declared": 1},
        None,
        7,
        [["declared"], {"a": 1}, None, 7, True, 1.5],
        ["../../etc/passwd", "a/b", "Upper", "http://example.org", "a b", "", "-", "a--b", "a" * 201, "\ud800", "ä"],
    ],
)
async def test_report_that_is_too_long_or_junk_asks_nothing(tmp_path: Path, report: Any) -> None:
    index = RecordingIndex()
    started = time.process_time()
    analysis, _ = await analyse(tmp_path, index, Children(index, ["imported"], report))
    assert time.process_time() - started < 1
    assert index.calls == [(["imported"], True)]
    assert analysis.errors == []


async def test_reports_add_up_to_a_limit_and_few_names_are_asked_at_a_time(tmp_path: Path) -> None:
    index = RecordingIndex()
    names = [f"name-{number}" for number in range(MAX_REPORTED_NAMES + 50)]
    await analyse(tmp_path, index, Children(index, ["imported"], ["imported"], *([name] for name in names)))
    asked = [name for names, _ in index.calls for name in names]
    assert sorted(asked) == sorted(["imported", *names[: MAX_REPORTED_NAMES - 1]])
    assert index.most_running <= CONCURRENT_PREFETCHES + 1


@pytest.mark.parametrize(
    "lists",
    [
        None,
        7,
        "deps",
        {"deps": "package_health"},
        [None, 7, "dp", ["deps"], ["deps", ["package_health"]], [["deps"], "package_health"], ["deps", "x", "y"]],
        [["deps", "total_modules"], ["deps", "missing"], ["missing", "package_health"]],
    ],
)
async def test_what_is_no_list_of_packages_is_not_looked_up(tmp_path: Path, lists: Any) -> None:
    index = RecordingIndex()
    children = Children(index, ["declared"])
    children.lists = lists
    analysis, _ = await analyse(tmp_path, index, children)
    assert index.calls == []
    assert analysis == analysis_of("declared")


def test_lists_without_the_keys_of_packages_are_left_out() -> None:
    row = {"package": "a", "current_version": None, "latest_version": None, "outdated": None}
    metrics: dict[str, Any] = {"m": {"good": [row], "empty": [], "bad": [row, {"package": "b"}], "odd": [7]}, "n": None}
    pairs = [["m", "good"], ["m", "bad"], ["m", "odd"], ["m", "empty"], ["n", "good"], ["m", "good"]]
    assert reported_lists(pairs, metrics) == [("m", "good"), ("m", "empty")]


async def test_nothing_is_asked_if_look_ups_are_switched_off(tmp_path: Path) -> None:
    index = RecordingIndex()
    analysis, _ = await analyse(tmp_path, None, Children(index, ["declared"], ["declared"]))
    assert index.calls == []
    assert analysis == analysis_of("declared")


def test_reported_names_are_valid_and_unique() -> None:
    assert reported_names(["a", "b-1", "a", 1, "B", "c_d"]) == ["a", "b-1"]
