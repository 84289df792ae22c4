"""Look-ups of the newest versions of one analysis's packages: beside collecting as far as possible, the rest after it.

The child that collects reports the packages that the tree imports, as it finds them. It may have been taken over, so
its reports are only hints for what to ask early. The lists of packages in its result decide what is looked up and
shown; the result also says which of its metrics have such lists.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from domain.metrics.packages import (
    MAX_REPORTED_NAMES,
    PACKAGE_NAMES,
    indexed_packages,
    reported_lists,
    reported_names,
    with_latest_versions,
)
from domain.metrics.report import Analysis
from domain.ports import PackageIndex, ProgressListener
from domain.text import JSON, one_line
from infrastructure.outbound.package_versions import is_older

ASKING_INDEX = "asking the package index"
"""Stage of a job whose tree is collected, while answers are missing."""

COLLECTED_PERCENT = 90
MAX_NAMES_SHOWN = 5
CONCURRENT_PREFETCHES = 6
"""Fewer than the index client's requests at a time, so that other jobs' look-ups need not wait for a prefetch.

Each needs a connection of its own, and opening one takes more CPU time than several requests.
"""


class PackageLookup:
    """Context manager for the look-ups of one job. Leaving it cancels those that are under way."""

    def __init__(self, index: PackageIndex | None) -> None:
        """`index` is None where look-ups are switched off."""
        self._index = index
        self._slots = asyncio.Semaphore(CONCURRENT_PREFETCHES)
        self._started: set[str] = set()
        self._prefetches: dict[str, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._answers: dict[str, str | None] = {}
        self._on_progress: ProgressListener | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def prepare(self) -> None:
        """Let the index load what it needs, beside other work."""
        if self._index is not None:
            self._create_task(self._index.prepare())

    def listener(self, on_progress: ProgressListener) -> ProgressListener:
        """Return a listener that takes the report of package names, and passes on all other progress."""
        self._on_progress = on_progress

        async def listen(progress: Mapping[str, JSON]) -> None:
            if PACKAGE_NAMES in progress:
                self._prefetch(progress[PACKAGE_NAMES])
            else:
                await on_progress(progress)

        return listen

    async def complete(self, analysis: Analysis, package_lists: JSON) -> Analysis:
        """Fill in `latest_version` and `outdated` in the lists of packages, `[[metric, key of the aggregate]]`.

        Where the index gives no answer they stay null, an error line says so, and the collector becomes partial.
        """
        for metric, key in reported_lists(package_lists, analysis.metrics):
            analysis = await self._complete_list(analysis, metric, key)
        return analysis

    async def _complete_list(self, analysis: Analysis, metric: str, key: str) -> Analysis:
        packages = analysis.metrics[metric][key]
        indexed = indexed_packages(packages)
        latest = {} if self._index is None else await self._latest_versions(self._index, indexed)
        values = {**analysis.metrics[metric], key: with_latest_versions(packages, latest, is_older)}
        analysis = replace(analysis, metrics={**analysis.metrics, metric: values})
        unknown = sorted(package for package in indexed if package not in latest)
        is_gap = unknown and self._index is not None
        return _with_gap(analysis, metric, unknown, len(packages)) if is_gap else analysis

    async def _latest_versions(self, index: PackageIndex, packages: Sequence[str]) -> Mapping[str, str | None]:
        """Ask for the packages that were not answered yet. The index client joins requests that are under way."""
        for name in self._prefetches.keys() - (self._started & set(packages)):
            self._prefetches[name].cancel()
        rest = [name for name in packages if name not in self._answers]
        if rest and self._on_progress is not None:
            await self._on_progress({"stage": ASKING_INDEX, "progress": COLLECTED_PERCENT})
        found = await index.latest_versions(rest) if rest else {}
        return {**self._answers, **found}

    def _prefetch(self, report: JSON) -> None:
        """Start looking up the reported packages, up to `MAX_REPORTED_NAMES` of a job."""
        if self._index is None or len(self._prefetches) >= MAX_REPORTED_NAMES:
            return
        new = [name for name in reported_names(report) if name not in self._prefetches]
        for name in new[: MAX_REPORTED_NAMES - len(self._prefetches)]:
            self._prefetches[name] = self._create_task(self._prefetch_one(self._index, name))

    async def _prefetch_one(self, index: PackageIndex, name: str) -> None:
        async with self._slots:
            self._started.add(name)
            self._answers.update(await index.latest_versions([name]))

    def _create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.append(task)
        return task


def _with_gap(analysis: Analysis, collector: str, unknown: Sequence[str], total: int) -> Analysis:
    shown = ", ".join(unknown[:MAX_NAMES_SHOWN]) + (", ..." if len(unknown) > MAX_NAMES_SHOWN else "")
    line = one_line(f"{collector}: the package index gave no answer for {len(unknown)} of {total} packages: {shown}")
    words = {**analysis.completeness["collectors"], collector: "partial"}
    completeness = {**analysis.completeness, "collectors": words}
    return replace(analysis, errors=[*analysis.errors, line], completeness=completeness)
