"""Pages of runs: the report, its findings by filters, and two runs compared."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import InvalidInputError
from domain.findings.roles import Role
from domain.findings.severity import SEVERITIES, FindingSeverity
from domain.findings.states import FindingState
from domain.runs import Run, RunSummary
from domain.text import JSON, one_line
from worker.client import run_to_json
from worker.export.formats import read_result
from worker.export.html.report import report_parts
from worker.export.html.values import line, place
from worker.http.api.paths import RunId, parse_id
from worker.http.pages.layout.rendering import page
from worker.http.pages.layout.values import source_link
from worker.http.pages.layout.visitor import Reading

router = APIRouter(include_in_schema=False)

FINDINGS_SHOWN, COMPARED_SHOWN = 50, 200
SEPARATOR = "..."


@router.get("/runs/{run_id}")
async def show_run(request: Request, visitor: Reading, run_id: RunId) -> Response:
    """Show the report of a run, or for `A...B` what changed from run A to run B."""
    if SEPARATOR in run_id:
        return await _compare(request, visitor, *run_id.split(SEPARATOR, 1))
    run = await visitor.client.get_run(visitor.user_id, parse_id(run_id))
    parts = await asyncio.to_thread(_parts, run)
    return page(request, "runs/run.html", visitor=visitor, run_id=str(run.run_id), **parts)


def _parts(run: Run) -> dict[str, Any]:
    return report_parts(read_result(run_to_json(run, None)))


@router.get("/runs/{run_id}/findings")
async def show_findings(
    request: Request,
    visitor: Reading,
    run_id: RunId,
    state: Annotated[str, Query(max_length=40)] = "",
    severity: Annotated[str, Query(max_length=40)] = "",
    metric: Annotated[str, Query(max_length=100)] = "",
    role: Annotated[str, Query(max_length=40)] = Role.SOURCE,
    path: Annotated[str, Query(max_length=2_000)] = "",
    after: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
) -> Response:
    """Show the findings that match the filters, page by page, each with its place on the repository's host."""
    key = parse_id(run_id)
    chosen = {"state": state, "severity": severity, "metric": metric, "role": role, "path": path}
    summary = await visitor.client.get_run_summary(visitor.user_id, key)
    shared: dict[str, Any] = {
        "visitor": visitor,
        "run_id": str(key),
        "chosen": {**chosen, "path": line(path, 2_000)},
        "states": [str(each) for each in FindingState],
        "severities": [str(each) for each in reversed(SEVERITIES)],
        "metrics": sorted(summary.metrics),
        "roles": [str(each) for each in Role],
    }
    try:
        found = await visitor.client.list_findings(
            visitor.user_id,
            key,
            states=[FindingState(state)] if state else (),
            severity=FindingSeverity(severity) if severity else FindingSeverity.INFO,
            metrics=[metric] if metric else (),
            path=path.replace("\0", "") or None,
            roles=[Role(role)] if role else tuple(Role),
            limit=FINDINGS_SHOWN,
            after=after,
        )
    except (InvalidInputError, ValueError) as error:
        reason = one_line(str(error), 300)
        return page(
            request, "runs/findings_list.html", 422, **shared, error=reason, found=None, rows=[], following=None
        )
    following = None if found.next is None else urlencode({**chosen, "after": found.next})
    rows = _rows(found.findings, summary)
    return page(request, "runs/findings_list.html", **shared, error=None, found=found, rows=rows, following=following)


def _rows(findings: Sequence[Mapping[str, JSON]], run: RunSummary) -> list[dict[str, Any]]:
    origin = run.origin
    return [
        {
            "severity": line(each.get("severity"), 20) or "low",
            "state": line(each.get("state"), 30),
            "metric": line(each.get("metric"), 60),
            "rule": line(each.get("rule"), 60),
            "place": place(each["path"], each.get("line"), each.get("column")),
            "link": source_link(origin.git_repo_url, origin.git_commit_sha, each["path"], each.get("line")),
            "function": line(each.get("function"), 100) or None,
            "message": line(each.get("message")),
        }
        for each in findings
    ]


async def _compare(request: Request, visitor: Reading, before: str, after: str) -> Response:
    first, second = parse_id(before), parse_id(after)
    compared = await visitor.client.compare_runs(visitor.user_id, second, first)
    summary = await visitor.client.get_run_summary(visitor.user_id, second)
    earlier = await visitor.client.get_run_summary(visitor.user_id, first)
    new = [item for item in compared.findings if item.get("state") in ("new", "updated")]
    fixed = compared.document["fixed"]["items"]
    return page(
        request,
        "runs/compare.html",
        visitor=visitor,
        before=str(first),
        after=str(second),
        new=_rows(new[:COMPARED_SHOWN], summary),
        new_total=len(new),
        fixed=_rows(fixed[:COMPARED_SHOWN], earlier),
        fixed_total=len(fixed),
    )
