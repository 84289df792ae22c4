"""Evaluations: submit projects of declared authors together, follow them, read the comparison of the authors."""

from collections.abc import Mapping, Sequence
from typing import Any

from vibe8.models.evaluations import Evaluation, EvaluationProject, EvaluationSummary
from vibe8.protocol.endpoints import Group, Mode, call, every
from vibe8.protocol.requests import Page, Request, document, get, mapping, nothing, page, segment


class Evaluations(Group[Mode]):
    """The caller's evaluations."""

    @call
    def submit(
        self, name: str, projects: Sequence[EvaluationProject], *, description: str = "", dataset_name: str = ""
    ) -> Request[Evaluation]:
        """Submit all projects as one evaluation, or none. They count for your limits as other jobs do."""
        wanted = {
            "name": name,
            "items": [_item(project) for project in projects],
            "description": description,
            "dataset_name": dataset_name,
        }
        return Request(method="POST", path="/evaluations", parse=document(Evaluation), json=wanted)

    @call
    def list(self, *, limit: int | None = None, cursor: str | None = None) -> Request[Page[EvaluationSummary]]:
        """Return a page of your evaluations, newest first."""
        return get("/evaluations", page("evaluations", EvaluationSummary), limit=limit, cursor=cursor)

    iterate = every(list)
    """Yield the evaluations of all pages."""

    @call
    def get(self, evaluation_id: str) -> Request[Evaluation]:
        """Return an evaluation with its projects: how each ended, or how far it is."""
        return get(_path(evaluation_id), document(Evaluation))

    @call
    def results(self, evaluation_id: str) -> Request[Mapping[str, Any]]:
        """Return the comparison of the authors. Raises ConflictError until all projects have ended."""
        return get(f"{_path(evaluation_id)}/results", mapping)

    @call
    def cancel(self, evaluation_id: str) -> Request[Evaluation]:
        """Cancel the projects that have not ended."""
        return Request(method="POST", path=f"{_path(evaluation_id)}/cancel", parse=document(Evaluation))

    @call
    def delete(self, evaluation_id: str) -> Request[None]:
        """Delete an evaluation that has ended. Its jobs and runs stay."""
        return Request(method="DELETE", path=_path(evaluation_id), parse=nothing)


def _path(evaluation_id: str) -> str:
    return f"/evaluations/{segment(evaluation_id)}"


def _item(project: EvaluationProject) -> dict[str, object]:
    return {
        "repository": {"url": project.url, "branch": project.branch, "token": project.token},
        "author_type": project.author_type,
        "author_model": project.author_model,
        "task": project.task,
        "label": project.label,
    }
