"""Look-ups of the newest versions of one analysis's packages: the declared ones beside collecting, the rest after it.

The child that collects reports which packages the tree declares. It may have been taken over, so its report is only a
hint for what to ask early. The list of packages in its result decides what is looked up and shown.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from domain.metrics.packages import PACKAGE_NAMES, indexed_packages, reported_names, with_latest_versions
from domain.metrics.report import Analysis
from domain.ports import PackageIndex, ProgressListener
from domain.text import JSON, one_line
from infrastructure.outbound.package_versions import is_older

MAX_NAMES_SHOWN = 5
CONCURRENT_PREFETCHES = 12
"""Fewer than the index client's requests at a time, so that other jobs' look-ups need not wait for a prefetch."""


class PackageLookup:
    """Context manager for the look-ups of one job. Leaving it cancels those that are under way."""

    def __init__(self, index: PackageIndex | None) -> None:
        """`index` is None where look-ups are switched off."""
        self._index = index
        self._slots = asyncio.Semaphore(CONCURRENT_PREFETCHES)
        self._reported = False
        self._started: set[str] = set()
        self._prefetches: dict[str, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._answers: dict[str, str | None] = {}

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

        async def listen(progress: Mapping[str, JSON]) -> None:
            if PACKAGE_NAMES in progress:
                self._prefetch(progress[PACKAGE_NAMES])
            else:
                await on_progress(progress)

        return listen

    async def complete(self, analysis: Analysis) -> Analysis:
        """Fill in `latest_version`.

        Where the index gives no answer it stays null, an error line says so, and `deps` becomes partial.
        """
        health = analysis.metrics["deps"]["package_health"]
        if not health:  # none imported, or the collector failed
            return analysis
        indexed = indexed_packages(health)
        latest = {} if self._index is None else await self._latest_versions(self._index, indexed)
        deps = {**analysis.metrics["deps"], "package_health": with_latest_versions(health, latest, is_older)}
        analysis = replace(analysis, metrics={**analysis.metrics, "deps": deps})
        unknown = sorted(package for package in indexed if package not in latest)
        is_gap = unknown and self._index is not None
        return _with_gap(analysis, "deps", unknown, len(health)) if is_gap else analysis

    async def _latest_versions(self, index: PackageIndex, packages: Sequence[str]) -> Mapping[str, str | None]:
        """Ask for the packages that were not answered yet. The index client joins requests that are under way."""
        for name in self._prefetches.keys() - (self._started & set(packages)):
            self._prefetches[name].cancel()
        rest = [name for name in packages if name not in self._answers]
        found = await index.latest_versions(rest) if rest else {}
        return {**self._answers, **found}

    def _prefetch(self, report: JSON) -> None:
        """Start looking up the reported packages. Only a job's first report counts."""
        if self._index is None or self._reported:
            return
        self._reported = True
        for name in reported_names(report):
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
