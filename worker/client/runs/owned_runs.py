"""Calls about finished analyses. Each checks that the runs belong to the user who asks."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from domain.audit import Actor
from domain.errors import InvalidInputError, NotFoundError
from domain.findings.comparison import compare_runs
from domain.findings.measured_run import MeasuredRun
from domain.findings.roles import Role
from domain.findings.selection import FindingFilter
from domain.runs import Run, RunCursor, RunSummary
from domain.statistics.trends import Series, latest_series, trends
from domain.tags import Tags, normalize_tags
from domain.text import JSON, one_line
from infrastructure.database.engine import Database
from infrastructure.database.queries.findings import FindingQuery
from infrastructure.database.queries.trends import TrendQuery
from infrastructure.database.repositories.runs import RunRepository
from worker.client.accounts.ownership import owned_run
from worker.client.results import FindingPage, Page, ProjectTrend, RunComparison
from worker.client.runs.projects import find_project_key
from worker.client.serializers import run_to_json, run_trend_to_json
from worker.export.export_format import ExportFormat
from worker.export.formats import check_metric_choice, export_result

MAX_PAGE_SIZE = 100
MAX_LISTED_FINDINGS = 1_000
MAX_ORDINAL = 2**31 - 1
"""No list of findings is longer."""

MOST_TREND_POINTS = 50
"""The most runs in the trend of a report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChoice:
    """Which runs a list has: those of a project, of a branch, and with all of some tags; None and none mean all."""

    project: str | None
    branch: str | None
    tags: Tags


@dataclass(frozen=True, slots=True)
class OwnedRuns:
    """The runs in a database, each for its owner. The methods are as those of `Client`."""

    database: Database
    actor: Actor = field(default_factory=Actor)

    async def list_page(self, user_id: UUID, choice: RunChoice, *, limit: int, after: RunCursor | None) -> Page:
        """See `Client.list_runs`."""
        wanted = normalize_tags(choice.tags)
        limit = max(1, min(limit, MAX_PAGE_SIZE))
        async with self.database.unit_of_work() as work:
            key = None if choice.project is None else await find_project_key(work, user_id, choice.project)
            listed = RunRepository(work)
            runs = await listed.list_runs(
                user_id, limit=limit + 1, after=after, project_key=key, branch=choice.branch, tags=wanted
            )
        page = runs[:limit]
        if len(runs) <= limit:
            return Page(runs=page, next=None)
        return Page(runs=page, next=RunCursor(created_at=page[-1].created_at, run_id=page[-1].run_id))

    async def find_id(self, user_id: UUID, prefix: str) -> UUID:
        """See `Client.find_run_id`."""
        async with self.database.unit_of_work() as work:
            return await RunRepository(work).find_id(prefix, user_id)

    async def summary(self, user_id: UUID, run_id: UUID) -> RunSummary:
        """See `Client.get_run_summary`."""
        async with self.database.unit_of_work() as work:
            return owned_run(await RunRepository(work).summary(run_id), user_id)

    async def get(self, user_id: UUID, run_id: UUID) -> Run:
        """See `Client.get_run`."""
        async with self.database.unit_of_work() as work:
            run = await RunRepository(work).get(run_id)
        owned_run(run, user_id)
        return run

    async def file_tree(self, user_id: UUID, run_id: UUID) -> Mapping[str, JSON] | None:
        """See `Client.get_file_tree`."""
        async with self.database.unit_of_work() as work:
            owned_run(await RunRepository(work).summary(run_id), user_id)
            tree: Mapping[str, JSON] | None = await RunRepository(work).file_tree(run_id)
        return tree

    async def history(self, user_id: UUID, run_id: UUID) -> Mapping[str, JSON] | None:
        """See `Client.get_history`."""
        async with self.database.unit_of_work() as work:
            owned_run(await RunRepository(work).summary(run_id), user_id)
            history: Mapping[str, JSON] | None = await RunRepository(work).history(run_id)
        return history

    async def insights(self, user_id: UUID, run_id: UUID) -> Sequence[Mapping[str, JSON]]:
        """See `Client.list_insights`."""
        async with self.database.unit_of_work() as work:
            owned_run(await RunRepository(work).summary(run_id), user_id)
            return await RunRepository(work).insights(run_id)

    async def list_findings(
        self, user_id: UUID, run_id: UUID, chosen: FindingFilter, *, limit: int, after: int | None
    ) -> FindingPage:
        """See `Client.list_findings`."""
        limit, after = max(1, min(limit, MAX_LISTED_FINDINGS)), max(0, min(after or 0, MAX_ORDINAL))
        async with self.database.unit_of_work() as work:
            owned_run(await RunRepository(work).summary(run_id), user_id)
            query = FindingQuery(work, run_id)
            about = await query.about()
            chosen.check_metrics(about.metrics)
            if chosen.states and not about.compared:
                raise InvalidInputError(f"run {run_id} has no baseline: its findings have no states")
            found = await query.page(chosen, after=after, limit=limit + 1)
            by_role = await query.count_by_role(chosen)
        page = found[:limit]
        wanted = {role: number for role, number in by_role.items() if not chosen.roles or role in chosen.roles}
        return FindingPage(
            run_id=run_id,
            findings=[{"ordinal": each.ordinal, "role": each.role, **each.item} for each in page],
            next=page[-1].ordinal if len(found) > limit else None,
            matching=sum(wanted.values()),
            other_roles={role: number for role, number in by_role.items() if role not in wanted},
            unlisted=about.unlisted,
        )

    async def compare(self, user_id: UUID, run_id: UUID, baseline_id: UUID | None) -> RunComparison:
        """See `Client.compare_runs`."""
        async with self.database.unit_of_work() as work:
            runs = RunRepository(work)
            summary = owned_run(await runs.summary(run_id), user_id)
            baseline_id = baseline_id or summary.baseline_run_id
            if baseline_id is None:
                raise InvalidInputError(f"run {run_id} has no baseline; name a run to compare it with")
            owned_run(await runs.summary(baseline_id), user_id)
            before, after = await runs.measured(baseline_id), await runs.measured(run_id)
        if before is None or after is None:
            raise NotFoundError("one of the runs has just been deleted")
        compared = await asyncio.to_thread(compare_runs, before, after)
        fixed = compared.document["fixed"]
        return RunComparison(
            run_id=run_id,
            baseline_run_id=baseline_id,
            document={**compared.document, "fixed": {**fixed, "items": _with_roles(fixed["items"], before)}},
            findings=_with_roles(compared.items, after),
        )

    async def trend(self, user_id: UUID, project: str, branch: str | None) -> ProjectTrend:
        """See `Client.trend`."""
        async with self.database.unit_of_work() as work:
            query = TrendQuery(work, user_id)
            key = await find_project_key(work, user_id, project)
            chosen = await query.main_branch(key) if branch is None else branch
            runs = await query.runs(key, chosen)
        if not runs:
            raise NotFoundError(f"project {one_line(project, 80)!r} has no run of branch {one_line(str(chosen), 80)!r}")
        series = latest_series(runs)
        found = await asyncio.to_thread(trends, series)
        return ProjectTrend(project=project, branch=chosen, series=series, trends=found)

    async def pin(self, user_id: UUID, run_id: UUID) -> None:
        """See `Client.pin_baseline`."""
        async with self.database.unit_of_work() as work:
            owned_run(await RunRepository(work).summary(run_id), user_id)
            await RunRepository(work).pin(run_id, self.actor)
            if not (await RunRepository(work).summary(run_id)).pinned:
                raise InvalidInputError(f"run {run_id} is older than baselines; analyse the source again")

    async def export(self, user_id: UUID, run_id: UUID, export_format: ExportFormat, metric: str | None) -> bytes:
        """See `Client.export_run`."""
        check_metric_choice(export_format, metric)
        run = await self.get(user_id, run_id)
        document = run_to_json(run, None)
        if export_format is ExportFormat.HTML:
            document["trend"] = run_trend_to_json(await self._series_until(run))
        return await asyncio.to_thread(export_result, document, export_format, metric=metric)

    async def _series_until(self, run: Run) -> Series | None:
        """Return the run and the earlier ones of its project and branch; None for a run of no project."""
        async with self.database.unit_of_work() as work:
            query = TrendQuery(work, run.user_id)
            key = await query.project_key_of(run.run_id)
            if key is None:
                return None
            runs = await query.runs(key, run.origin.git_branch, until=run.created_at)
        return latest_series(runs, MOST_TREND_POINTS)

    async def delete(self, user_id: UUID, run_id: UUID) -> None:
        """See `Client.delete_run`."""
        async with self.database.unit_of_work() as work:
            owned_run(await RunRepository(work).summary(run_id), user_id)
            await RunRepository(work).delete(run_id, self.actor)


def _with_roles(items: Sequence[Mapping[str, JSON]], run: MeasuredRun) -> list[Mapping[str, JSON]]:
    return [{**item, "role": run.roles.get(item["path"], str(Role.SOURCE))} for item in items]
