"""Evaluations: the list, one with its comparison or how far it is, its documents; cancel and delete."""

import asyncio
from collections import Counter
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from domain.evaluations.evaluation import Evaluation, EvaluationStatus, EvaluationSummary, Member
from domain.evaluations.evaluation import MemberState as State
from domain.keys import Permission
from worker.client import EvaluationFormat
from worker.export.html.values import counted, cut, line, moment
from worker.http.api.answers import immutable_response, write_cursor
from worker.http.api.evaluations import read_evaluation_cursor
from worker.http.api.paths import MAX_CURSOR, parse_id
from worker.http.caller import Caller
from worker.http.pages.layout.forms import REFUSALS, form_page, read_fields
from worker.http.pages.layout.rendering import page, see_other
from worker.http.pages.layout.visitor import Managing, Reading, Submitting
from worker.results.evaluations.page import evaluation_parts

router = APIRouter(include_in_schema=False, prefix="/evaluations")

EvaluationId = Annotated[str, Path(max_length=200)]
SHOWN, MEMBERS_SHOWN = 50, 500
MEDIA_TYPES = {
    EvaluationFormat.HTML: "text/html; charset=utf-8",
    EvaluationFormat.CSV: "text/csv; charset=utf-8",
    EvaluationFormat.JSON: "application/json",
}
_STATUSES = {
    EvaluationStatus.PENDING: ("low", "waiting"),
    EvaluationStatus.RUNNING: ("medium", "under way"),
    EvaluationStatus.COMPLETED: ("good", "completed"),
    EvaluationStatus.FAILED: ("high", "failed: no project has a result"),
}
_STATES = {State.RUNNING: "medium", State.COMPLETED: "good", State.FAILED: "high"}


@router.get("")
async def show_evaluations(
    request: Request, visitor: Reading, cursor: Annotated[str | None, Query(max_length=MAX_CURSOR)] = None
) -> Response:
    """Show the visitor's evaluations, newest first."""
    after = None if cursor is None else read_evaluation_cursor(cursor)
    found = await visitor.client.evaluations.list(visitor.user_id, limit=SHOWN + 1, after=after)
    shown = found[:SHOWN]
    last = shown[-1] if len(found) > SHOWN else None
    return page(
        request,
        "evaluations/list.html",
        visitor=visitor,
        evaluations=[_summary(each) for each in shown],
        following=None if last is None else write_cursor(last.created_at, str(last.evaluation_id)),
        is_first=cursor is None,
    )


@router.get("/{evaluation_id}")
async def show_evaluation(request: Request, visitor: Reading, evaluation_id: EvaluationId) -> Response:
    """Show the comparison of the authors, or until all projects have ended how far each is."""
    return await _page(request, visitor, parse_id(evaluation_id))


@router.get("/{evaluation_id}/export")
async def export_evaluation(
    request: Request,
    visitor: Reading,
    evaluation_id: EvaluationId,
    format: Annotated[EvaluationFormat, Query()],  # noqa: A002 - its name in the URL
) -> Response:
    """Return the comparison as a file: a page that needs no service, a table, or the document."""
    key = parse_id(evaluation_id)
    content = await visitor.client.evaluations.export(visitor.user_id, key, format)
    named = {"Content_Disposition": f'attachment; filename="vibe8-evaluation-{key}.{format}"'}
    return immutable_response(request, content, MEDIA_TYPES[format], **named)


@router.post("/{evaluation_id}/cancel")
async def cancel_evaluation(request: Request, visitor: Submitting, evaluation_id: EvaluationId) -> Response:
    """Cancel the projects that have not ended."""
    key = parse_id(evaluation_id)
    await read_fields(request, ())
    try:
        await visitor.client.evaluations.cancel(visitor.user_id, key)
    except REFUSALS as error:
        return await _page(request, visitor, key, error)
    return see_other(request, f"/evaluations/{key}")


@router.post("/{evaluation_id}/delete")
async def delete_evaluation(request: Request, visitor: Managing, evaluation_id: EvaluationId) -> Response:
    """Delete an evaluation that has ended. Its jobs and runs stay."""
    key = parse_id(evaluation_id)
    await read_fields(request, ())
    try:
        await visitor.client.evaluations.delete(visitor.user_id, key)
    except REFUSALS as error:
        return await _page(request, visitor, key, error)
    return see_other(request, "/evaluations")


async def _page(request: Request, visitor: Caller, key: UUID, refused: Exception | None = None) -> Response:
    evaluation = await visitor.client.evaluations.get(visitor.user_id, key)
    summary, permissions = evaluation.summary, visitor.identity.permissions
    shared: dict[str, Any] = {
        "visitor": visitor,
        "evaluation": _summary(summary),
        "may_cancel": Permission.SUBMIT in permissions,
        "may_delete": Permission.MANAGE in permissions,
        "formats": list(EvaluationFormat),
    }
    if not summary.status.finished:
        return form_page(request, "evaluations/under_way.html", refused, **shared, **_progress(evaluation))
    parts = await asyncio.to_thread(evaluation_parts, await visitor.client.evaluations.results(visitor.user_id, key))
    links = f"{request.scope.get('root_path', '')}/runs/"
    return form_page(request, "evaluations/evaluation.html", refused, **shared, run_links=links, **parts)


def _summary(summary: EvaluationSummary) -> dict[str, Any]:
    return {
        "evaluation_id": str(summary.evaluation_id),
        "name": line(summary.name, 200),
        "description": line(summary.description, 2_000),
        "status": _STATUSES[summary.status],
        "projects": f"{summary.members:,}",
        "model": line(summary.model_name, 100) or None,
        "dataset": line(summary.dataset_name, 200) or None,
        "submitted": moment(summary.created_at),
        "ended": moment(summary.finished_at),
    }


def _progress(evaluation: Evaluation) -> dict[str, Any]:
    """Return how far the projects are: those that are under way or have failed come first."""
    members = evaluation.members
    states = Counter(member.outcome.state for member in members)
    order = [State.RUNNING, State.FAILED, State.CANCELLED, State.DELETED, State.PENDING, State.COMPLETED]
    listed = sorted(members, key=lambda member: order.index(member.outcome.state))
    return {
        "ended": sum(number for state, number in states.items() if state.finished),
        "total": len(members),
        "states": ", ".join(f"{counted(states[state], 'project')} {state}" for state in order if states[state]),
        "members": [_member(member) for member in listed[:MEMBERS_SHOWN]],
        "cut_members": cut(MEMBERS_SHOWN, len(members)),
    }


def _member(member: Member) -> dict[str, Any]:
    declared, outcome = member.declared, member.outcome
    return {
        "source": line(declared.source, 300),
        "author": line(declared.author.label, 100),
        "task": line(declared.task, 100) or None,
        "state": str(outcome.state),
        "chip": _STATES.get(outcome.state, "low"),
        "reason": line(outcome.reason, 300) or None,
        "job_id": None if outcome.state is State.DELETED else declared.job_id,
        "run_id": None if outcome.run_id is None else str(outcome.run_id),
    }
