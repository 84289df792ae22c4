"""Runs: list, read whole or in parts, compare, export, pin, delete."""

import asyncio
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from domain.findings.roles import Role
from domain.findings.severity import FindingSeverity
from domain.findings.states import FindingState
from domain.runs import RunCursor
from domain.tags import parse_tags
from domain.text import JSON
from infrastructure.json_codec import dumps
from worker.client import ExportFormat, comparison_to_json, finding_page_to_json, run_summary_to_json, run_to_json
from worker.http.api.answers import immutable_response, json_response, read_cursor, write_cursor
from worker.http.api.paths import API_PREFIX, Cursor, Limit, RunId, parse_id
from worker.http.api.request_bodies import Body, JsonBody, Text
from worker.http.caller import Manager, Reader

router = APIRouter(prefix=f"{API_PREFIX}/runs", tags=["runs"])

MAX_FINDINGS = 1_000
MAX_NAME = 2_000

MEDIA_TYPES = {
    ExportFormat.SARIF: ("application/sarif+json", "sarif"),
    ExportFormat.SARIF_FULL: ("application/sarif+json", "sarif"),
    ExportFormat.GITLAB: ("application/json", "json"),
    ExportFormat.CSV: ("text/csv; charset=utf-8", "csv"),
    ExportFormat.MARKDOWN: ("text/markdown; charset=utf-8", "md"),
    ExportFormat.HTML: ("text/html; charset=utf-8", "html"),
    ExportFormat.BADGE: ("image/svg+xml", "svg"),
    ExportFormat.BADGE_JSON: ("application/json", "json"),
}
"""The type of each form, and the end of its file's name."""

ProjectName = Annotated[
    str | None,
    Query(max_length=MAX_NAME, description="Only runs of the project with this URL, name, file name or run."),
]


class RunTags(Body):
    """The tags of a run."""

    tags: dict[Text, list[Text]]
    """Values by category."""


@router.get("")
async def list_runs(
    caller: Reader,
    project: ProjectName = None,
    branch: Annotated[str | None, Query(max_length=MAX_NAME, description="Only runs of this branch.")] = None,
    tag: Annotated[
        list[str] | None, Query(max_length=50, description="Only runs with all of these tags, each `category=value`.")
    ] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response:
    """List your runs, newest first, without their large parts."""
    after = None if cursor is None else read_run_cursor(cursor)
    page = await caller.client.list_runs(
        caller.user_id, limit=limit, after=after, project=project, branch=branch, tags=parse_tags(tag or ())
    )
    following = None if page.next is None else write_cursor(page.next.created_at, str(page.next.run_id))
    return json_response({"runs": [run_summary_to_json(run) for run in page.runs], "next": following})


def read_run_cursor(text: str) -> RunCursor:
    """Return the place in a list of runs. Raises InvalidInputError, NotFoundError for what is no cursor."""
    created_at, run_id = read_cursor(text)
    return RunCursor(created_at=created_at, run_id=parse_id(run_id))


@router.get("/{run_id}")
async def get_run(request: Request, caller: Reader, run_id: RunId) -> Response:
    """Return a whole run: metrics, files, findings, history, comparison, gate and insights. It may be large."""
    run = await caller.client.get_run(caller.user_id, parse_id(run_id))
    return immutable_response(request, await asyncio.to_thread(lambda: dumps(run_to_json(run, None))))


@router.get("/{run_id}/summary")
async def get_summary(caller: Reader, run_id: RunId) -> Response:
    """Return the run without its large parts, as lists do: its verdict, quality score and numbers."""
    return json_response(run_summary_to_json(await caller.client.get_run_summary(caller.user_id, parse_id(run_id))))


@router.get("/{run_id}/file-tree")
async def get_file_tree(request: Request, caller: Reader, run_id: RunId) -> Response:
    """Return the run's folders and files with their metrics; null for a run without a tree."""
    key = parse_id(run_id)
    tree = await caller.client.get_file_tree(caller.user_id, key)
    return await _part(request, key, "file_tree", tree)


@router.get("/{run_id}/findings")
async def list_findings(
    request: Request,
    caller: Reader,
    run_id: RunId,
    state: Annotated[list[FindingState] | None, Query(description="Only findings in one of these states.")] = None,
    severity: Annotated[FindingSeverity, Query(description="The least severity.")] = FindingSeverity.INFO,
    metric: Annotated[list[str] | None, Query(description="Only findings of these metrics.", max_length=50)] = None,
    path: Annotated[
        str | None, Query(max_length=MAX_NAME, description="A path; `*` is any characters, `?` is one.")
    ] = None,
    role: Annotated[list[Role] | None, Query(description="Roles of files; without any: `source`.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_FINDINGS, description="The most findings of the page.")] = 50,
    after: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="`next` of the page before.")] = None,
) -> Response:
    """List the run's findings in its order."""
    page = await caller.client.list_findings(
        caller.user_id,
        parse_id(run_id),
        states=state or (),
        severity=severity,
        metrics=metric or (),
        path=path,
        roles=role or (Role.SOURCE,),
        limit=limit,
        after=after,
    )
    return immutable_response(request, await asyncio.to_thread(lambda: dumps(finding_page_to_json(page))))


@router.get("/{run_id}/comparison")
async def compare_runs(
    request: Request,
    caller: Reader,
    run_id: RunId,
    baseline: Annotated[str | None, Query(max_length=200, description="A run; without: its own baseline.")] = None,
) -> Response:
    """Compare the run with an earlier one: what is new, fixed, moved, and the numbers before and after."""
    base = None if baseline is None else parse_id(baseline)
    found = await caller.client.compare_runs(caller.user_id, parse_id(run_id), base)
    return immutable_response(request, await asyncio.to_thread(lambda: dumps(comparison_to_json(found))))


@router.get("/{run_id}/history")
async def get_history(request: Request, caller: Reader, run_id: RunId) -> Response:
    """Return what the git history says of the files: hotspots, coupling, ownership; null for a run without one."""
    key = parse_id(run_id)
    return await _part(request, key, "history", await caller.client.get_history(caller.user_id, key))


@router.get("/{run_id}/insights")
async def list_insights(request: Request, caller: Reader, run_id: RunId) -> Response:
    """Return what stands out in the run, the highest confidence first."""
    key = parse_id(run_id)
    found = await caller.client.list_insights(caller.user_id, key)
    return await _part(request, key, "insights", [dict(insight) for insight in found])


@router.get("/{run_id}/export")
async def export_run(
    request: Request,
    caller: Reader,
    run_id: RunId,
    format: Annotated[ExportFormat, Query(description="The form of the document.")],  # noqa: A002 - the API's name
    metric: Annotated[str | None, Query(max_length=100, description="What a badge shows.")] = None,
) -> Response:
    """Return the run as a document for another program, or as a page for people."""
    key = parse_id(run_id)
    content = await caller.client.export_run(caller.user_id, key, format, metric=metric)
    media_type, ending = MEDIA_TYPES[format]
    named = {"Content_Disposition": f'attachment; filename="vibe8-{key}.{ending}"'}
    return immutable_response(request, content, media_type, **named)


@router.post("/{run_id}/pin", status_code=204)
async def pin_run(caller: Manager, run_id: RunId) -> Response:
    """Make the run the baseline of its project's later runs, in place of any other."""
    await caller.client.pin_baseline(caller.user_id, parse_id(run_id))
    return Response(status_code=204)


@router.put("/{run_id}/tags")
async def set_tags(caller: Manager, run_id: RunId, wanted: Annotated[RunTags, Depends(JsonBody(RunTags))]) -> Response:
    """Replace all tags of the run, and return them in their normal form."""
    key = parse_id(run_id)
    return json_response({"run_id": str(key), "tags": await caller.client.tags.set(caller.user_id, key, wanted.tags)})


@router.delete("/{run_id}", status_code=204)
async def delete_run(caller: Manager, run_id: RunId) -> Response:
    """Delete the run. Jobs and later runs that refer to it stay."""
    await caller.client.delete_run(caller.user_id, parse_id(run_id))
    return Response(status_code=204)


async def _part(request: Request, run_id: UUID, name: str, value: JSON) -> Response:
    body = await asyncio.to_thread(lambda: dumps({"run_id": str(run_id), name: value}))
    return immutable_response(request, body)
