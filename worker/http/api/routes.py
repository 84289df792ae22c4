"""All routes of the API."""

from fastapi import APIRouter

from worker.http.api import jobs, service_facts

PREFIX = "/api/v1"


def api_router() -> APIRouter:
    """Return the router with the routes of every subject."""
    router = APIRouter(prefix=PREFIX)
    for subject in (service_facts, jobs):
        router.include_router(subject.router)
    return router
