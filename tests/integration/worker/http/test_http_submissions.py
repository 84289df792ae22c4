"""Submission over HTTP: forms and JSON, what is refused, and what a second request with the same key gets."""

import asyncio
import json
from typing import Any
from uuid import UUID

import httpx
import pytest

from domain.gate.policy import DEFAULT_POLICY
from tests.fixtures.jobs import new_run
from tests.fixtures.network.http_service import http_client
from worker.client import Client
from worker.http.middleware import bodies

JOBS = "/api/v1/jobs"
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
FILE = {"file": ("a.py", b"x = 1\n")}
REPOSITORY: dict[str, Any] = {"repository": {"url": "https://github.com/owner/repo"}}


def code(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


async def test_a_file_is_submitted_with_its_options(ann_http: httpx.AsyncClient) -> None:
    form = {
        "project_name": "shop",
        "author_type": "ai",
        "author_model": "m",
        "options": json.dumps({"gate": DEFAULT_POLICY.to_json()}),
    }
    answer = await ann_http.post(JOBS, files=FILE, data=form)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert answer.headers["location"] == f"{JOBS}/{job['job_id']}"
    assert (await ann_http.get(answer.headers["location"])).json() == job
    source = job["source_metadata"]
    assert (source["project_name"], source["author_type"], source["author_model"]) == ("shop", "ai", "m")
    assert job["options"]["gate"] == DEFAULT_POLICY.to_json()


async def test_a_repository_is_submitted_and_its_token_is_never_shown(ann_http: httpx.AsyncClient) -> None:
    wanted = {**REPOSITORY, "repository": {**REPOSITORY["repository"], "branch": "main", "token": "s3cret-token"}}
    answer = await ann_http.post(JOBS, json=wanted)
    assert answer.status_code == 202, answer.text
    assert answer.json()["source_metadata"]["git_branch"] == "main"
    assert answer.json()["source_metadata"]["has_token"] is True
    assert "s3cret" not in answer.text


async def test_a_second_request_with_the_key_gets_the_first_job(
    ann_http: httpx.AsyncClient, bob_http: httpx.AsyncClient
) -> None:
    key = {"Idempotency-Key": "build-17"}
    first = (await ann_http.post(JOBS, files=FILE, headers=key)).json()
    again = await ann_http.post(JOBS, json=REPOSITORY, headers=key)
    assert (again.status_code, again.json()["job_id"]) == (202, first["job_id"])
    other = (await bob_http.post(JOBS, files=FILE, headers=key)).json()
    assert other["job_id"] != first["job_id"]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"content": b"x", "headers": {"Content-Type": "text/plain"}}, (415, "media_type")),
        ({"content": b"{}"}, (415, "media_type")),
        ({"data": {"url": "https://github.com/a/b"}}, (415, "media_type")),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, (400, "malformed")),
        ({"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}, (400, "malformed")),
        ({"content": b"[1," * 100_001, "headers": {"Content-Type": "application/json"}}, (400, "malformed")),
        ({"content": b'"\xff"', "headers": {"Content-Type": "application/json"}}, (400, "malformed")),
        ({"json": []}, (422, "invalid_request")),
        ({"json": {}}, (422, "invalid_request")),
        ({"json": {**REPOSITORY, "owner": "ann"}}, (422, "invalid_request")),
        ({"json": {"repository": {"url": 1}}}, (422, "invalid_request")),
        ({"json": {**REPOSITORY, "project_name": "a\0b"}}, (422, "invalid_request")),
        ({"json": {**REPOSITORY, "options": {"gate": {"\0": 1}}}}, (422, "invalid_request")),
        ({"json": {**REPOSITORY, "options": {"unknown": 1}}}, (422, "invalid_input")),
        ({"json": {"repository": {"url": "http://github.com/a/b"}}}, (422, "invalid_input")),
        ({"json": {"repository": {"url": "https://127.0.0.1/a/b"}}}, (422, "invalid_input")),
        ({"files": {"file": ("a.txt", b"x")}}, (422, "invalid_input")),
        ({"files": {"file": ("a.py", b"")}}, (422, "invalid_input")),
        ({"files": {"other": ("a.py", b"x")}}, (422, "invalid_request")),
        ({"files": FILE, "data": {"owner": "ann"}}, (422, "invalid_request")),
        ({"files": FILE, "data": {"options": "{"}}, (422, "invalid_input")),
        ({"files": FILE, "data": {"options": "[]"}}, (422, "invalid_input")),
        ({"files": FILE, "data": {"author_type": "robot"}}, (422, "invalid_input")),
        ({"files": FILE, "data": {"project_name": "a\0"}}, (422, "invalid_request")),
        ({"files": [("file", ("a.py", b"x")), ("file", ("b.py", b"x"))]}, (400, "malformed")),
        ({"files": FILE, "data": {"notify_url": "https://10.0.0.1/"}}, (422, "invalid_input")),
        ({"files": FILE, "headers": {"Idempotency-Key": "k" * 256}}, (422, "invalid_request")),
        (
            {"content": b"--b--", "headers": FORM},
            (422, "invalid_request"),
        ),
        ({"content": b"no form", "headers": FORM}, (400, "malformed")),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, (400, "malformed")),
    ],
)
async def test_what_is_no_submission_is_refused_with_a_reason(
    ann_http: httpx.AsyncClient, client: Client, user_id: UUID, request_: dict[str, Any], expected: tuple[int, str]
) -> None:
    answer = await ann_http.post(JOBS, **request_)
    assert code(answer) == expected, answer.text
    assert "\n" not in answer.json()["detail"]
    assert await client.list_jobs(user_id) == []


async def test_a_hundred_megabytes_of_json_are_refused_at_once(
    ann_http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "LINGER_SECONDS", 0.2)
    app: Any = ann_http._transport.app  # type: ignore[attr-defined]
    sent, sent_at_answer = 0, []

    async def endless() -> Any:
        nonlocal sent
        yield b'{"repository": {"url": "'
        while True:
            sent += 1
            yield b"a" * 1_000_000
            await asyncio.sleep(0)

    async def observed(scope: Any, receive: Any, send: Any) -> None:
        async def observe(message: Any) -> None:
            if message["type"] == "http.response.start":
                sent_at_answer.append(sent)
            await send(message)

        await app(scope, receive, observe)

    headers = {"Content-Type": "application/json", "Authorization": ann_http.headers["Authorization"]}
    async with http_client(observed) as http, asyncio.timeout(30):
        answer = await http.post(JOBS, content=endless(), headers=headers)
    assert code(answer) == (413, "too_large")
    assert sent_at_answer in ([1], [2], [3])
    assert sent > 3


async def test_an_upload_above_the_limit_is_refused_while_it_arrives(ann_http: httpx.AsyncClient) -> None:
    too_large = await ann_http.post(JOBS, files={"file": ("a.zip", bytes(6 * 1024 * 1024))})
    assert code(too_large) == (413, "too_large")
    slightly = await ann_http.post(JOBS, files={"file": ("a.zip", bytes(5 * 1024 * 1024 + 1))})
    assert code(slightly) == (422, "invalid_input")


async def test_limits_are_told_with_when_to_come_again(ann_http: httpx.AsyncClient) -> None:
    answers = [await ann_http.post(JOBS, files=FILE) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [202] * 5 + [429]
    assert code(answers[-1]) == (429, "limit_exceeded")
    assert "limit 5" in answers[-1].json()["detail"]


async def test_a_baseline_of_another_user_is_answered_as_an_unknown_one(
    ann_http: httpx.AsyncClient, client: Client, database: Any
) -> None:
    from infrastructure.database.repositories.runs import RunRepository, SerializedRun

    bob = await client.get_or_create_user("bob@example.org")
    theirs = new_run(bob)
    async with database.unit_of_work() as work:
        await RunRepository(work).insert_many([SerializedRun.of(theirs)])
    named = {"X-Request-Id": "0" * 32}
    answers = [
        await ann_http.post(JOBS, json={**REPOSITORY, "options": {"baseline": str(run)}}, headers=named)
        for run in (theirs.run_id, UUID(int=7))
    ]
    assert code(answers[0]) == (404, "not_found")
    assert answers[0].content == answers[1].content


async def test_a_body_that_is_too_large_is_answered_once(ann_http: httpx.AsyncClient) -> None:
    async def chunks() -> Any:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.py"\r\n\r\n'
        for _ in range(7):
            yield bytes(1024 * 1024)

    answer = await ann_http.post(JOBS, content=chunks(), headers=FORM)
    assert code(answer) == (413, "too_large")
    assert answer.headers["connection"] == "close"


async def test_the_plan_and_its_use_are_told(ann_http: httpx.AsyncClient, bob_http: httpx.AsyncClient) -> None:
    await ann_http.post(JOBS, files=FILE)
    mine, bobs = [(await each.get("/api/v1/usage")).json() for each in (ann_http, bob_http)]
    assert (mine["used"]["jobs_per_day"], bobs["used"]["jobs_per_day"]) == (1, 0)
    assert mine["limits"]["unfinished_jobs"] == 5


async def test_a_limit_that_time_renews_says_when() -> None:
    from datetime import UTC, datetime, timedelta

    from domain.errors import LimitExceededError
    from worker.http.problems import as_problem

    resets_at = datetime.now(UTC) + timedelta(seconds=90)
    problem = as_problem(LimitExceededError("used", used=1, limit=1, resets_at=resets_at))
    assert problem is not None
    assert 85 <= int(problem.headers["Retry-After"]) <= 90
