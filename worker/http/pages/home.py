"""The first page: projects with grade, gate and quality over time, the newest jobs, and forms that submit one."""

from functools import lru_cache
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from domain.keys import Permission
from domain.runs import ProjectSummary
from domain.sources import Authorship
from worker.client.runs.project_list import project_grade
from worker.export.html.charts.lines import line_chart
from worker.export.html.charts.svg import Svg
from worker.export.html.values import fixed, line, moment
from worker.http.api.request_bodies import FORM_TYPE as UPLOAD_TYPE
from worker.http.api.request_bodies import media_type, read_form
from worker.http.caller import Caller
from worker.http.pages.layout.forms import REFUSALS, form_page, read_fields
from worker.http.pages.layout.rendering import see_other
from worker.http.pages.layout.values import VERDICTS, job_row
from worker.http.pages.layout.visitor import Reading, Submitting

router = APIRouter(include_in_schema=False)

PROJECTS_SHOWN, JOBS_SHOWN = 50, 10
CHARTS_KEPT = 1_000
"""Charts in memory, of a few kB each."""

UPLOAD_FIELDS = frozenset({"project_name"})
REPOSITORY_FIELDS = frozenset({"url", "branch", "project_name"})


@router.get("/")
async def show_home(
    request: Request, visitor: Reading, after: Annotated[str | None, Query(max_length=3_000)] = None
) -> Response:
    """Show the visitor's projects and newest jobs."""
    return await _home(request, visitor, after)


async def _home(request: Request, visitor: Caller, after: str | None, refused: Exception | None = None) -> Response:
    projects = await visitor.client.projects.list(visitor.user_id, limit=PROJECTS_SHOWN + 1, after=after)
    jobs = await visitor.client.list_jobs(visitor.user_id, limit=JOBS_SHOWN)
    shown = projects[:PROJECTS_SHOWN]
    return form_page(
        request,
        "home.html",
        refused,
        visitor=visitor,
        projects=[_project(each) for each in shown],
        following=shown[-1].project_key if len(projects) > PROJECTS_SHOWN else None,
        is_first=after is None,
        jobs=[job_row(job) for job in jobs],
        may_submit=Permission.SUBMIT in visitor.identity.permissions,
    )


def _project(row: ProjectSummary) -> dict[str, Any]:
    scores = [score for score in row.scores if score is not None]
    name = line(row.name, 120)
    return {
        "name": name,
        "link": str(row.run_id),
        "when": moment(row.created_at),
        "branch": line(row.branch, 80) or None,
        "quality": fixed(row.quality_score),
        "grade": project_grade(row),
        "verdict": VERDICTS.get(row.review_verdict or "", ("unknown", "not evaluated")),
        "run_id": str(row.run_id),
        "chart": _chart(name, tuple(scores)) if len(scores) > 1 else None,
    }


@lru_cache(maxsize=CHARTS_KEPT)
def _chart(name: str, scores: tuple[float, ...]) -> Svg:
    """Return the line of a project's scores. Drawing those of a page takes most of its time, and runs do not change."""
    return line_chart(scores, f"Quality of {name}: {scores[0]:.1f} to {scores[-1]:.1f} in {len(scores)} runs")


@router.post("/submit")
async def submit(request: Request, visitor: Submitting) -> Response:
    """Submit the file or the repository of a form, and go to the job's page."""
    try:
        if media_type(request) == UPLOAD_TYPE:
            form = await read_form(request, UPLOAD_FIELDS)
            job = await visitor.client.submit_upload(
                visitor.user_id, filename=form.filename, content=form.content, authorship=_authorship(form.texts)
            )
        else:
            fields = await read_fields(request, REPOSITORY_FIELDS)
            job = await visitor.client.submit_repository(
                visitor.user_id,
                url=fields.get("url", "").strip(),
                branch=fields.get("branch", "").strip() or None,
                authorship=_authorship(fields),
            )
    except REFUSALS as error:
        return await _home(request, visitor, None, error)
    return see_other(request, f"/jobs/{job.job_id}")


def _authorship(fields: Any) -> Authorship:
    return Authorship(project_name=fields.get("project_name", "").strip() or None)
