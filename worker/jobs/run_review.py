"""Review of a run at the end of its job: the comparison with its baseline, the gate, and what stands out."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

import structlog

from domain.errors import NotFoundError, TransientError
from domain.findings.baseline import choose_baseline, likely_commits, paths_agree
from domain.findings.measured_run import MeasuredRun
from domain.jobs import Job
from domain.options import JobOptions
from domain.runs import NewRun, RunOrigin
from domain.sources import SourceKind
from domain.text import one_line
from infrastructure.database.engine import Database
from infrastructure.database.repositories.runs import RunRepository
from worker.results.reviewed_analysis import Baseline, measured, review_analysis

AddedLines = Mapping[str, Mapping[str, int]]
"""Lines that were added since a commit, by the commit and the role of the files."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ChosenBaseline:
    """The baseline of a run, and its commit where it has one."""

    baseline: Baseline
    commit: str | None


@dataclass(frozen=True, slots=True)
class RunReviewer:
    """Reviews new runs. Comparisons are made one at a time: two runs may have 50,000 findings each."""

    database: Database
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def baseline_commits(self, job: Job, options: JobOptions) -> Sequence[str]:
        """Return the commits of runs that may become the baseline of a repository's job, the likeliest first.

        For uploads there are none, since their history is not trusted. Raises ServiceUnavailableError.
        """
        origin = RunOrigin.from_source(
            job.source_kind, job.source_metadata, branch=job.source_metadata.get("git_branch"), sha=None
        )
        if job.source_kind is not SourceKind.GITHUB or origin.project is None:
            return ()
        async with self.database.autocommit() as work:
            runs = RunRepository(work)
            if options.baseline is not None:
                commit = await _commit_of(runs, options.baseline)
                return () if commit is None else (commit,)
            candidates = await runs.baseline_candidates(job.user_id, origin.project.key, before=_claimed_at(job))
        return likely_commits(candidates, branch=origin.git_branch)

    async def review(self, run: NewRun, job: Job, options: JobOptions, added_lines: AddedLines) -> NewRun:
        """Return the run with its review, and with comparison and states of findings where it has a baseline.

        Candidates are the runs that were stored before the job was claimed. Raises ServiceUnavailableError. Any other
        error costs the review and not the run.
        """
        try:
            return await self._review(run, job, options, added_lines)
        except TransientError:
            raise
        except Exception as error:
            log.warning("review.failed", reason=one_line(repr(error)), exc_info=error)
            return run

    async def _review(self, run: NewRun, job: Job, options: JobOptions, added_lines: AddedLines) -> NewRun:
        after = measured(run.analysis, _claimed_at(job).isoformat(), run.options)
        chosen = await self._baseline(run, after, job, options) if after.nodes else None
        if chosen is None:
            reviewed = review_analysis(run.analysis, after, policy=options.gate)
            return replace(run, review=reviewed.review)
        async with self._turn:
            reviewed = await asyncio.to_thread(
                review_analysis,
                run.analysis,
                after,
                baseline=chosen.baseline,
                policy=options.gate,
                added_lines=added_lines.get(chosen.commit or ""),
            )
        return replace(
            run,
            analysis=reviewed.analysis,
            review=reviewed.review,
            comparison=reviewed.comparison,
            baseline_run_id=UUID(chosen.baseline.run_id),
        )

    async def _baseline(self, run: NewRun, after: MeasuredRun, job: Job, options: JobOptions) -> ChosenBaseline | None:
        project = run.origin.project
        async with self.database.autocommit() as work:
            runs = RunRepository(work)
            if options.baseline is not None:
                return await _named_baseline(runs, options.baseline, run.user_id)
            if project is None:
                return None
            candidates = await runs.baseline_candidates(run.user_id, project.key, before=_claimed_at(job))
            chosen = choose_baseline(
                candidates,
                branch=run.origin.git_branch,
                commit=run.origin.git_commit_sha,
                collectors=run.analysis.completeness.get("collectors", {}),
                selection=options.selection,
            )
            before = None if chosen is None else await runs.measured(chosen[0].run_id)
        if chosen is None or before is None:
            return None
        if project.by_file_name and not paths_agree(before.nodes, after.nodes):
            return None
        baseline = Baseline(run=before, run_id=str(chosen[0].run_id), chosen_as=chosen[1])
        return ChosenBaseline(baseline, chosen[0].commit)


async def _named_baseline(runs: RunRepository, run_id: UUID, user_id: UUID) -> ChosenBaseline | None:
    """Return the baseline that a submission named; None where it was deleted since, or never was the user's."""
    try:
        summary = await runs.summary(run_id)
    except NotFoundError:
        return None
    before = await runs.measured(run_id)
    if before is None or summary.user_id != user_id:
        return None
    return ChosenBaseline(Baseline(run=before, run_id=str(run_id)), summary.origin.git_commit_sha)


async def _commit_of(runs: RunRepository, run_id: UUID) -> str | None:
    try:
        return (await runs.summary(run_id)).origin.git_commit_sha
    except NotFoundError:
        return None


def _claimed_at(job: Job) -> datetime:
    return job.started_at or job.created_at
