"""All routes of the pages, in one list, and the answer to an error on a page."""

from collections.abc import Sequence

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from worker.http.api.paths import API_PREFIX
from worker.http.middleware.headers import header_values
from worker.http.pages import evaluations, home, jobs, projects, runs, shared, sign_in
from worker.http.pages.account import account
from worker.http.pages.layout import assets
from worker.http.pages.layout.rendering import page, see_other
from worker.http.pages.layout.visitor import SignInNeededError
from worker.http.pages.operations import acts, lists, overview
from worker.http.pages.repositories import listing, repository
from worker.http.problems import ProblemError

SUBJECTS = (
    assets, sign_in, home, jobs, runs, projects, listing, repository, evaluations, shared, account, overview, lists,
    acts,
)  # fmt: skip


def page_routes() -> Sequence[APIRoute]:
    """Return the routes of every subject."""
    return [route for subject in SUBJECTS for route in subject.router.routes if isinstance(route, APIRoute)]


def is_page(request: Request, path: str) -> bool:
    """Return whether an error of this request is shown to a person: no path of the API, and a browser asks for HTML."""
    accepted = ",".join(header_values(request.scope, "accept"))
    return not path.startswith(API_PREFIX) and "text/html" in accepted


def error_page(request: Request, error: ProblemError) -> Response:
    """Return an error as a page."""
    response = page(request, "error.html", error.problem.status, title=error.problem.title, detail=error.detail)
    response.headers.update(error.headers)
    return response


def sign_in_first(request: Request, error: SignInNeededError) -> Response:
    """Send the browser to the page where its visitor signs in."""
    return see_other(request, error.location)
