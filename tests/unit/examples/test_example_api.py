"""The example API without its services: bodies that are too large, and answers about jobs of other users."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, NoReturn
from uuid import UUID

import httpx
import pytest

from domain.errors import ForbiddenError, NotFoundError
from examples import api
from infrastructure.settings import Settings

MIB = 1024 * 1024
BOUNDARY = {"Content-Type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.py"\r\n\r\n'


class EndlessBody:
    """Body of a request that never ends; it counts what was asked of it."""

    def __init__(self) -> None:
        self.sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield PART
        while True:
            assert self.sent < 64 * MIB, "the body is read without limit"
            self.sent += 256 * 1024
            yield bytes(256 * 1024)


class StubClient:
    """Client with one job, `theirs`, of another user."""

    settings = Settings(max_upload_mb=2)

    async def get_or_create_user(self, _email: str) -> UUID:
        return UUID(int=1)

    async def _refuse(self, _user: UUID, job_id: str) -> NoReturn:
        if job_id == "theirs":
            raise ForbiddenError(f"the job {job_id} belongs to another user")
        raise NotFoundError(f"there is no job {job_id}")

    get_job = cancel_job = take_result = _refuse

    async def submit_upload(self, *_: Any, content: bytes, **__: Any) -> NoReturn:
        raise AssertionError(f"{len(content)} bytes were read")


@pytest.fixture
async def http(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    monkeypatch.setattr(api.app, "state", SimpleNamespace(client=StubClient(), max_body_bytes=2 * MIB))
    transport = httpx.ASGITransport(app=api.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers={"X-User": "a@b"}) as client:
        yield client


async def test_a_body_that_is_too_large_is_refused_while_it_arrives(http: httpx.AsyncClient) -> None:
    body = EndlessBody()
    answer = await http.post("/uploads", content=body, headers=BOUNDARY)
    assert answer.status_code == 413
    assert "MAX_UPLOAD_MB" in answer.json()["detail"]
    assert body.sent <= 3 * MIB


async def test_a_body_that_says_that_it_is_too_large_is_not_read(http: httpx.AsyncClient) -> None:
    body = EndlessBody()
    answer = await http.post("/uploads", content=body, headers={**BOUNDARY, "Content-Length": str(3 * MIB)})
    assert (answer.status_code, body.sent) == (413, 0)


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("POST", "/result"), ("GET", "/events")])
async def test_jobs_of_others_and_jobs_that_do_not_exist_are_answered_alike(
    http: httpx.AsyncClient, method: str, path: str
) -> None:
    theirs, nobodys = [await http.request(method, f"/jobs/{job_id}{path}") for job_id in ("theirs", "nobodys")]
    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.content == nobodys.content
    assert theirs.headers == nobodys.headers
