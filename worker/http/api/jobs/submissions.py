"""Submission of a job: an upload as a form, or a repository as JSON."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Header
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import InvalidInputError
from domain.jobs import Job
from domain.sources import Authorship
from domain.text import JSON
from infrastructure.json_codec import loads_untrusted
from worker.client import JobOptions, job_options_from_json, job_to_json
from worker.http.api.answers import located_response
from worker.http.api.paths import API_PREFIX
from worker.http.api.request_bodies import (
    FORM_TYPE,
    JSON_TYPE,
    MAX_VALUES,
    Body,
    Document,
    Text,
    media_type,
    parse,
    read_form,
    read_json,
    unsupported_type,
    without_nul,
)
from worker.http.caller import Caller, Submitter

router = APIRouter(prefix=API_PREFIX, tags=["jobs"])

FIELDS = frozenset({"options", "project_name", "author_type", "author_model", "notify_url"})
"""Fields of the form beside its file."""

MAX_KEY = 255


class RepositorySource(Body):
    """A git repository on one of the allowed hosts."""

    url: Text
    """Its https URL."""
    branch: Text | None = None
    """The branch to analyse; null: its default branch."""
    token: Text | None = None
    """A token for a private repository. It is kept in Redis only, encrypted, until the job has ended."""


class RepositoryJob(Body):
    """A job for a repository."""

    repository: RepositorySource
    project_name: Text | None = None
    """What to call the project."""
    author_type: Text | None = None
    """Who wrote the code, as you say: `human` or `ai`."""
    author_model: Text | None = None
    """The model or the person, as you say."""
    notify_url: Text | None = None
    """Where a signed webhook is sent when the job ends."""
    options: Document = Field(default_factory=dict)
    """What to measure and how to judge it; `baseline` and `gate` among others."""


@router.post("/jobs", status_code=202)
async def submit_job(
    request: Request,
    caller: Submitter,
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=MAX_KEY, description="A second request with it gets the first's job."),
    ] = None,
) -> Response:
    """Submit a job: a `.py` or `.zip` file as a form, or a repository as JSON."""
    kind = media_type(request)
    if kind == FORM_TYPE:
        job = await _submit_file(request, caller, idempotency_key)
    elif kind == JSON_TYPE:
        job = await _submit_repository(request, caller, idempotency_key)
    else:
        raise unsupported_type(FORM_TYPE, JSON_TYPE)
    return located_response(request, job_to_json(job), 202, f"/jobs/{job.job_id}")


async def _submit_file(request: Request, caller: Caller, key: str | None) -> Job:
    form = await read_form(request, FIELDS)
    return await caller.client.submit_upload(
        caller.user_id,
        filename=form.filename,
        content=form.content,
        authorship=_authorship(form.texts),
        idempotency_key=key,
        notify_url=form.texts.get("notify_url"),
        options=_options(_parse_options(form.texts.get("options", "{}"))),
    )


async def _submit_repository(request: Request, caller: Caller, key: str | None) -> Job:
    wanted = parse(RepositoryJob, await read_json(request))
    return await caller.client.submit_repository(
        caller.user_id,
        url=wanted.repository.url,
        branch=wanted.repository.branch,
        token=wanted.repository.token,
        authorship=_authorship(wanted.model_dump()),
        idempotency_key=key,
        notify_url=wanted.notify_url,
        options=_options(wanted.options),
    )


def _authorship(fields: Mapping[str, JSON]) -> Authorship:
    return Authorship(
        project_name=fields.get("project_name"),
        author_type=fields.get("author_type"),
        author_model=fields.get("author_model"),
    )


def _parse_options(text: str) -> JSON:
    try:
        return without_nul(loads_untrusted(text.encode(), MAX_VALUES))
    except (ValueError, RecursionError):
        raise InvalidInputError("the field options must be a JSON object") from None


def _options(document: JSON) -> JobOptions:
    if not isinstance(document, dict):
        raise InvalidInputError("the options must be a JSON object")
    return job_options_from_json(document)
