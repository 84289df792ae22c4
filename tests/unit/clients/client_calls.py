"""Every call of the Python client, made with all of its arguments, and the requests that this sends."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from vibe8 import AsyncClient, Client, EvaluationProject, ProblemError
from vibe8.client import _Groups
from vibe8.protocol.endpoints import Call, Group, StreamCall

ID = "9c41a7d2-6a3b-4b5e-8f10-2c3d4e5f6a7b"
URL = "https://github.com/owner/repo"
ARGUMENTS: Mapping[str, Any] = {
    "source": b"x = 1\n", "filename": "a.py", "project_name": "shop", "author_type": "ai", "author_model": "m",
    "notify_url": "https://example.org/", "options": {"collectors": ["lint"]}, "idempotency_key": "build-17",
    "url": URL, "branch": "main", "token": "secret", "job_id": "f" * 32, "run_id": ID, "repository_id": ID,
    "evaluation_id": ID, "key_id": ID, "code": "abc", "secret": "s", "worker_id": "host-1", "baseline": ID,
    "since_seconds": 60, "limit": 7, "cursor": "WyJ4Il0", "after": 3, "project": "shop", "tag": ["team=web"],
    "state": ["new"], "severity": "low", "metric": ["lint"], "path": "*.py", "role": ["test"], "format": "sarif",
    "tags": {"team": ["web"]}, "schedule": "daily", "settings": {"exclude": ["a"]}, "description": "d",
    "language": "Python", "when": "end", "dataset_name": "todo", "password": "pass", "max_views": 3,
    "expires_at": datetime(2027, 1, 31, tzinfo=UTC), "permissions": ["read"], "rate_limit": 10,
    "user": "ann@example.org", "action": "submit", "name": "n/m", "timeout": 1.0,
    "job": "ff", "notice_id": ID,
    "projects": [
        EvaluationProject(url=URL, author_type="human", branch="b", token="t", task="k", label="l"),
        EvaluationProject(url=URL + "2", author_type="ai", author_model="m"),
    ],
}  # fmt: skip
"""By the name of the parameter."""

SPECIAL: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("jobs", "list"): {"status": "failed"},
    ("jobs", "iterate"): {"status": "failed"},
    ("repositories", "list"): {"status": "pending"},
    ("repositories", "iterate"): {"status": "pending"},
    ("ops", "jobs"): {"status": ["failed", "pending"]},
    ("ops", "iterate_jobs"): {"status": ["failed", "pending"]},
    ("ops", "webhooks"): {"state": "waiting"},
    ("ops", "iterate_webhooks"): {"state": "waiting"},
    ("runs", "export"): {"metric": "lint"},
}
"""Arguments that other calls have with another meaning."""


@dataclass(frozen=True)
class Made:
    """A call that was made: its group, its name, and the request that it sent first."""

    group: str
    name: str
    request: httpx.Request


def groups(client: "_Groups[Any]") -> dict[str, "Group[Any]"]:
    return {name: value for name, value in vars(client).items() if isinstance(value, Group)}


def call_names(group: "Group[Any]") -> list[str]:
    return [name for name, value in vars(type(group)).items() if isinstance(value, Call | StreamCall)]


def arguments_of(group: str, name: str, call: Any) -> dict[str, Any]:
    known = {**ARGUMENTS, **SPECIAL.get((group, name), {})}
    return {parameter: known[parameter] for parameter in inspect.signature(call).parameters}


def refuse(sent: list[httpx.Request]) -> httpx.MockTransport:
    """Return a transport that keeps each request and refuses it, so that no call sends a second one."""

    def handle(request: httpx.Request) -> httpx.Response:
        request.read()
        sent.append(request)
        return httpx.Response(400)

    async def handle_async(request: httpx.Request) -> httpx.Response:
        await request.aread()
        sent.append(request)
        return httpx.Response(400)

    transport = httpx.MockTransport(handle)
    transport.handle_async_request = handle_async  # type: ignore[method-assign]
    return transport


def made_by_blocking_client() -> Iterator[Made]:
    """Yield each call of `Client` with its request."""
    sent: list[httpx.Request] = []
    with Client("http://service.test/base", "v8_key", transport=refuse(sent)) as client:
        for group, calls in groups(client).items():
            for name in call_names(calls):
                call = getattr(calls, name)
                with suppress(ProblemError):
                    found = call(**arguments_of(group, name, call))
                    list(found)  # an iterator sends its first request now
                yield Made(group, name, sent[-1])


async def _read(found: Any) -> None:
    if isinstance(found, AsyncIterator):
        async for _ in found:
            pass
    else:
        await found


async def _made_by_async_client() -> list[Made]:
    sent: list[httpx.Request] = []
    made = []
    async with AsyncClient("http://service.test/base", "v8_key", transport=refuse(sent)) as client:
        for group, calls in groups(client).items():
            for name in call_names(calls):
                call = getattr(calls, name)
                with suppress(ProblemError):
                    await _read(call(**arguments_of(group, name, call)))
                made.append(Made(group, name, sent[-1]))
    return made


def made_by_async_client() -> list[Made]:
    """Return each call of `AsyncClient` with its request."""
    return asyncio.run(_made_by_async_client())
