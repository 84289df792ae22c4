"""Evaluations: projects of declared authors, submitted together and compared."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from domain.evaluations.evaluation import Evaluation, EvaluationCursor
from domain.evaluations.results import member_to_json, summary_to_json
from domain.text import JSON
from worker.client import EvaluationItem, RepositorySubmission
from worker.http.api.answers import json_response, located_response, read_cursor, write_cursor
from worker.http.api.jobs.submissions import RepositorySource
from worker.http.api.paths import API_PREFIX, Cursor, Limit, parse_id
from worker.http.api.request_bodies import Body, JsonBody, Text
from worker.http.caller import Manager, Reader, Submitter

router = APIRouter(prefix=f"{API_PREFIX}/evaluations", tags=["evaluations"])

MAX_ITEMS = 1_000
EvaluationId = Annotated[str, Path(max_length=200, description="The id of an evaluation.")]


class Project(Body):
    """One project of an evaluation."""

    repository: RepositorySource
    author_type: Text
    """`human` or `ai`, as you say."""
    author_model: Text = ""
    """The model of an `ai`. A person's name is not kept."""
    task: Text = ""
    """What all projects with this task do."""
    label: Text = ""
    """What names the project in the results; its URL if empty."""


class NewEvaluation(Body):
    """An evaluation to be submitted: repositories of at least two authors."""

    name: Text
    items: Annotated[list[Project], Field(min_length=1, max_length=MAX_ITEMS)]
    description: Text = ""
    dataset_name: Text = ""


@router.post("", status_code=202)
async def submit_evaluation(
    request: Request, caller: Submitter, wanted: Annotated[NewEvaluation, Depends(JsonBody(NewEvaluation))]
) -> Response:
    """Submit all projects as one evaluation, or none. They count for your limits as other jobs do."""
    items = [
        EvaluationItem(
            source=RepositorySubmission(
                url=each.repository.url, branch=each.repository.branch, token=each.repository.token
            ),
            author_type=each.author_type,
            author_model=each.author_model,
            task=each.task,
            label=each.label,
        )
        for each in wanted.items
    ]
    made = await caller.client.evaluations.submit(
        caller.user_id,
        name=wanted.name,
        items=items,
        description=wanted.description,
        dataset_name=wanted.dataset_name,
    )
    return located_response(request, _document(made), 202, f"/evaluations/{made.summary.evaluation_id}")


@router.get("")
async def list_evaluations(caller: Reader, limit: Limit = 20, cursor: Cursor = None) -> Response:
    """List your evaluations, newest first."""
    after = None if cursor is None else read_evaluation_cursor(cursor)
    found = await caller.client.evaluations.list(caller.user_id, limit=limit + 1, after=after)
    page = found[:limit]
    following = write_cursor(page[-1].created_at, str(page[-1].evaluation_id)) if len(found) > limit else None
    return json_response({"evaluations": [summary_to_json(each) for each in page], "next": following})


def read_evaluation_cursor(text: str) -> EvaluationCursor:
    """Return the place in a list of evaluations. Raises InvalidInputError, NotFoundError for what is no cursor."""
    created_at, evaluation_id = read_cursor(text)
    return EvaluationCursor(created_at=created_at, evaluation_id=parse_id(evaluation_id))


@router.get("/{evaluation_id}")
async def get_evaluation(caller: Reader, evaluation_id: EvaluationId) -> Response:
    """Return an evaluation with its projects: how each ended, or how far it is."""
    return json_response(_document(await caller.client.evaluations.get(caller.user_id, parse_id(evaluation_id))))


@router.get("/{evaluation_id}/results")
async def get_results(caller: Reader, evaluation_id: EvaluationId) -> Response:
    """Return the comparison of the authors; 409 until all projects have ended."""
    found = await caller.client.evaluations.results(caller.user_id, parse_id(evaluation_id))
    return json_response(dict(found))


@router.post("/{evaluation_id}/cancel", status_code=202)
async def cancel_evaluation(caller: Submitter, evaluation_id: EvaluationId) -> Response:
    """Cancel the projects that have not ended."""
    changed = await caller.client.evaluations.cancel(caller.user_id, parse_id(evaluation_id))
    return json_response(_document(changed), 202)


@router.delete("/{evaluation_id}", status_code=204)
async def delete_evaluation(caller: Manager, evaluation_id: EvaluationId) -> Response:
    """Delete an evaluation that has ended. Its jobs and runs stay."""
    await caller.client.evaluations.delete(caller.user_id, parse_id(evaluation_id))
    return Response(status_code=204)


def _document(evaluation: Evaluation) -> dict[str, JSON]:
    return {**summary_to_json(evaluation.summary), "members": [member_to_json(member) for member in evaluation.members]}
