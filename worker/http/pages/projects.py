"""The page of a project: its runs, newest first, and its numbers over time."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from domain.runs import RunSummary
from worker.client import run_summary_to_json
from worker.client.results import ProjectTrend
from worker.client.serializers import run_trend_to_json
from worker.export.formats import read_result
from worker.export.html.trend import trend
from worker.export.html.values import fixed, line, moment
from worker.http.api.answers import write_cursor
from worker.http.api.paths import MAX_CURSOR, RunId, parse_id
from worker.http.api.runs.runs import read_run_cursor
from worker.http.pages.layout.rendering import page
from worker.http.pages.layout.values import VERDICTS
from worker.http.pages.layout.visitor import Reading

router = APIRouter(include_in_schema=False)

RUNS_SHOWN = 30


@router.get("/projects/{run_id}")
async def show_project(
    request: Request,
    visitor: Reading,
    run_id: RunId,
    cursor: Annotated[str | None, Query(max_length=MAX_CURSOR)] = None,
) -> Response:
    """Show the project of a run. A run names it, since a project's name may be any text, or a URL."""
    run = await visitor.client.get_run_summary(visitor.user_id, parse_id(run_id))
    named = str(run.run_id)
    after = None if cursor is None else read_run_cursor(cursor)
    listed = await visitor.client.list_runs(visitor.user_id, limit=RUNS_SHOWN, after=after, project=named)
    found = await visitor.client.trend(visitor.user_id, named)
    chart = await asyncio.to_thread(_trend, found)
    origin = run.origin
    following = None if listed.next is None else write_cursor(listed.next.created_at, str(listed.next.run_id))
    return page(
        request,
        "runs/project.html",
        visitor=visitor,
        name=line(origin.project_name or origin.git_repo_url or origin.upload_filename, 120) or named,
        named=named,
        branch=line(found.branch, 80) or None,
        runs=[_row(each) for each in listed.runs],
        following=following,
        is_first=cursor is None,
        trend=chart,
    )


def _trend(found: ProjectTrend) -> dict[str, Any] | None:
    return trend(read_result({"trend": run_trend_to_json(found.series)}))


def _row(run: RunSummary) -> dict[str, Any]:
    origin, document = run.origin, run_summary_to_json(run)
    return {
        "run_id": str(run.run_id),
        "when": moment(run.created_at),
        "branch": line(origin.git_branch, 60) or None,
        "commit": line(origin.git_commit_sha, 12) or None,
        "quality": fixed(run.quality_score),
        "verdict": VERDICTS.get(run.review_verdict or "", ("unknown", "not evaluated")),
        "baseline": None if run.baseline_run_id is None else str(run.baseline_run_id),
        "is_pinned": run.pinned,
        "errors": len(document.get("errors") or ()),
    }
