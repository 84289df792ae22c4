"""All routes of the API, in one list."""

from collections.abc import Sequence

from fastapi.routing import APIRoute

from worker.http.api import evaluations, service_facts
from worker.http.api.accounts import keys, usage
from worker.http.api.jobs import events, jobs, submissions
from worker.http.api.ops import audit, fleet, webhooks
from worker.http.api.ops import jobs as any_jobs
from worker.http.api.runs import projects, reports, runs
from worker.http.api.tracking import hooks, repositories

SUBJECTS = (
    service_facts, submissions, jobs, events, runs, projects, repositories, hooks, evaluations, reports, keys,
    usage, fleet, any_jobs, webhooks, audit,
)  # fmt: skip


def api_routes() -> Sequence[APIRoute]:
    """Return the routes of every subject, with their whole paths."""
    return [route for subject in SUBJECTS for route in subject.router.routes if isinstance(route, APIRoute)]


def allowed_methods(routes: Sequence[APIRoute], path: str) -> str:
    """Return the methods of a path for the header `Allow`: those of all routes that match it, and HEAD beside GET."""
    methods = {method for route in routes if route.path_regex.match(path) for method in route.methods or ()}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
