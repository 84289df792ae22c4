"""Comparison of a run with its baseline, at the end of its job."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

import structlog

from domain.errors import TransientError
from domain.findings.baseline import choose_baseline, paths_agree
from domain.findings.comparison import Compared, compare_runs
from domain.findings.measured_run import MeasuredRun
from domain.metrics.report import Analysis
from domain.runs import NewRun
from domain.text import one_line
from infrastructure.database.engine import Database
from infrastructure.database.repositories.runs import RunRepository

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RunComparer:
    """Compares new runs with their baselines, one at a time: two runs may have 50,000 findings each."""

    database: Database
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def compare(self, run: NewRun, claimed_at: datetime) -> NewRun:
        """Return the run with its baseline, comparison and states of findings; unchanged where there is no baseline.

        Candidates are the runs that were stored before the job was claimed. Raises ServiceUnavailableError. Any other
        error costs the comparison and not the run.
        """
        async with self._turn:
            try:
                return await self._compare(run, claimed_at)
            except TransientError:
                raise
            except Exception as error:
                log.warning("comparison.failed", reason=one_line(repr(error)), exc_info=error)
                return run

    async def _compare(self, run: NewRun, claimed_at: datetime) -> NewRun:
        after = measured(run.analysis, claimed_at.isoformat())
        if not after.nodes:
            return run
        found = await self._baseline(run, after, claimed_at)
        if found is None:
            return run
        baseline_id, reason, before = found
        compared = await asyncio.to_thread(compare_runs, before, after)
        return _with_comparison(run, compared, baseline_id, reason)

    async def _baseline(
        self, run: NewRun, after: MeasuredRun, claimed_at: datetime
    ) -> tuple[UUID, str, MeasuredRun] | None:
        project = run.origin.project
        if project is None:
            return None
        async with self.database.unit_of_work() as work:
            runs = RunRepository(work)
            candidates = await runs.baseline_candidates(run.user_id, project.key, before=claimed_at)
            chosen = choose_baseline(
                candidates,
                branch=run.origin.git_branch,
                commit=run.origin.git_commit_sha,
                collectors=run.analysis.completeness.get("collectors", {}),
            )
            before = None if chosen is None else await runs.measured(chosen[0].run_id)
        if chosen is None or before is None:
            return None
        if project.by_file_name and not paths_agree(before.nodes, after.nodes):
            return None
        return chosen[0].run_id, chosen[1], before


def measured(analysis: Analysis, since: str) -> MeasuredRun:
    """Return what a comparison needs of an analysis that was stored at that time (ISO 8601)."""
    return MeasuredRun(
        metrics=analysis.metrics,
        findings=analysis.findings,
        file_tree=analysis.file_tree,
        completeness=analysis.completeness,
        tool_versions=analysis.tool_versions,
        since=since,
    )


def _with_comparison(run: NewRun, compared: Compared, baseline_id: UUID, reason: str) -> NewRun:
    return replace(
        run,
        analysis=replace(run.analysis, findings={**run.analysis.findings, "items": compared.items}),
        baseline_run_id=baseline_id,
        comparison={"baseline_run_id": str(baseline_id), "chosen_as": reason, **compared.document},
    )
