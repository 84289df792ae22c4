"""The service as a process with a real worker: from an upload to its run, streams of events, and the end."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.fixtures.archives import make_zip
from tests.fixtures.checks.result_documents import check_document
from tests.fixtures.network.http_service import RunningService, new_key, running_service
from tests.fixtures.worker_process import System, WorkerProcess, until_finished
from worker.client import Client, ExportFormat

API = "/api/v1"
CODE = make_zip({"a.py": "import os\ndef f(x):\n    return eval(x)\n" * 50, "b.py": "import a\n"})


async def events(stream: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """Yield the events of a stream, each with its id."""
    event: dict[str, Any] = {}
    async for line in stream.aiter_lines():
        name, _, value = line.partition(": ")
        if name == "id":
            event["id"] = value
        elif name == "data":
            event |= json.loads(value)
        elif not line and event:
            yield event
            event = {}


@pytest.fixture
async def key(client: Client, user_id: UUID) -> str:
    return await new_key(client, user_id)


async def test_from_an_upload_to_its_run(service: RunningService, worker: WorkerProcess, key: str) -> None:
    async with service.client(key) as http:
        accepted = await http.post(f"{API}/jobs", files={"file": ("code.zip", CODE)})
        assert accepted.status_code == 202, accepted.text
        job_url = accepted.headers["location"]
        async with http.stream("GET", f"{job_url}/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            seen = [event async for event in events(stream)]
        assert seen[-1]["status"] == "completed"
        assert [event["progress"] for event in seen] == sorted(event["progress"] for event in seen)

        result = await http.get(f"{job_url}/result")
        assert result.status_code == 200
        check_document(result.json())
        assert (await http.get(f"{job_url}/result")).content == result.content, "reading deletes nothing"
        run_url = f"{API}/runs/{seen[-1]['result_run_id']}"
        await read_every_part(http, run_url)

        assert (await http.get(f"{API}/projects/code.zip/trend")).json()["project"] == "code.zip"
        assert (await http.delete(job_url)).status_code == 204
        assert (await http.get(job_url)).status_code == 404
        assert (await http.delete(run_url)).status_code == 204
        assert (await http.get(run_url)).status_code == 404
        assert (await http.get(f"{API}/runs")).json() == {"runs": [], "next": None}


async def read_every_part(http: httpx.AsyncClient, run_url: str) -> None:
    whole = await http.get(run_url)
    check_document(whole.json())
    run_id = whole.json()["source"]["run_id"]
    (listed,) = (await http.get(f"{API}/runs", params={"project": "code.zip"})).json()["runs"]
    assert listed["source"]["run_id"] == run_id
    assert (await http.get(f"{run_url}/summary")).json() == listed
    assert (await http.get(f"{API}/runs", params={"branch": "main"})).json()["runs"] == []
    for part, name in (("file-tree", "file_tree"), ("history", "history"), ("insights", "insights")):
        answer = await http.get(f"{run_url}/{part}")
        assert answer.json() == {"run_id": run_id, name: whole.json()[name]}, part
        again = await http.get(f"{run_url}/{part}", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    found = (await http.get(f"{run_url}/findings", params={"metric": "security", "limit": 1})).json()
    assert found["findings"][0]["metric"] == "security"
    compared = (await http.get(f"{run_url}/comparison", params={"baseline": run_id})).json()
    assert {finding["state"] for finding in compared["findings"]} == {"unchanged"}
    for form in ExportFormat:
        exported = await http.get(f"{run_url}/export", params={"format": form})
        assert exported.status_code == 200, form
        assert exported.content
        assert run_id in exported.headers["content-disposition"]
    assert (await http.post(f"{run_url}/pin")).status_code == 204


async def test_a_stream_is_resumed_where_it_broke_off_at_another_replica(
    system: System, service: RunningService, client: Client, user_id: UUID, key: str
) -> None:
    job_id = (await client.submit_upload(user_id, filename="code.zip", content=CODE)).job_id
    path = f"{API}/jobs/{job_id}/events"
    async with service.client(key) as http, http.stream("GET", path) as stream:
        first = await anext(events(stream))
    assert first["status"] == "pending"
    async with running_service(system, "second") as other, other.client(key) as http:
        async with http.stream("GET", path, headers={"Last-Event-ID": first["id"]}) as stream, system.worker():
            seen = [event async for event in events(stream)]
        assert first["id"] not in [event["id"] for event in seen], "what was told is not told again"
        assert seen[-1]["status"] == "completed"
        at_end = await http.get(path, headers={"Last-Event-ID": seen[-1]["id"]})
        assert (at_end.status_code, at_end.content) == (204, b"")
        async with http.stream("GET", path) as stream:
            assert [event["status"] async for event in events(stream)] == ["completed"]


async def test_sigterm_ends_streams_at_once_and_other_answers_in_time(
    system: System, client: Client, user_id: UUID, key: str
) -> None:
    job_id = (await client.submit_upload(user_id, filename="code.zip", content=CODE)).job_id
    async with running_service(system) as service, service.client(key) as http:
        async with http.stream("GET", f"{API}/jobs/{job_id}/events") as stream:
            seen = events(stream)
            assert (await anext(seen))["status"] == "pending"
            ending = asyncio.create_task(service.process.stop())
            async with asyncio.timeout(10):
                assert [event async for event in seen] == []
        async with asyncio.timeout(10):
            assert await ending == 0
    log = service.process.log()
    assert [entry["event"] for entry in log if entry["event"].startswith("http.st")] == ["http.started", "http.stopped"]
    assert not [entry for entry in log if entry["level"] in ("warning", "error")]


@pytest.mark.settings(HTTP_MAX_STREAMS="3")
async def test_streams_are_bounded_and_closed_ones_make_room(
    service: RunningService, client: Client, user_id: UUID, key: str
) -> None:
    job_id = (await client.submit_upload(user_id, filename="code.zip", content=CODE)).job_id
    path = f"{API}/jobs/{job_id}/events"
    async with service.client(key) as http:
        opened = [http.stream("GET", path) for _ in range(3)]
        for stream in opened:
            await stream.__aenter__()
        refused = await http.get(path)
        assert (refused.status_code, refused.json()["code"]) == (503, "streams_full")
        assert refused.headers["retry-after"] == "10"
        assert (await http.get(f"{API}/jobs/{job_id}")).status_code == 200
        for stream in opened:
            await stream.__aexit__(None, None, None)
        async with asyncio.timeout(30):
            while True:
                async with http.stream("GET", path) as again:
                    if again.status_code == 200:
                        break
                await asyncio.sleep(0.05)


async def test_keys_are_limited_revoked_and_written_into_the_log(
    service: RunningService, client: Client, user_id: UUID
) -> None:
    created = await client.keys.create(user_id, name="ci", rate_limit=3, permissions=["read"])
    async with service.client(created.text) as http:
        first = await http.get(f"{API}/jobs")
        assert first.headers["ratelimit-policy"] == '"key";q=3;w=3600'
        assert first.headers["ratelimit"].startswith('"key";r=2;t=')
        assert (await http.get(f"{API}/jobs")).status_code == 200
        assert (await http.post(f"{API}/jobs/x/retry")).json()["code"] == "permission_missing"
        limited = await http.get(f"{API}/jobs")
        assert (limited.status_code, limited.json()["code"]) == (429, "rate_limited")
        assert 0 < int(limited.headers["retry-after"]) <= 3600
        assert limited.headers["ratelimit"].startswith('"key";r=0;t=')
        await client.keys.revoke(user_id, created.key.key_id)
        assert (await http.get(f"{API}/jobs")).status_code == 401
    for text in (created.text[:-1], created.text + "A", "v8_" + "a" * 12 + "_" + "b" * 43, "x", "é" * 60):
        async with service.client() as http:
            answer = await http.get(f"{API}/jobs", headers=[(b"Authorization", f"Bearer {text}".encode())])
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert created.text not in service.process.log_file.read_text()


async def test_the_service_starts_without_postgresql_and_says_so(system: System, unused_tcp_port: int) -> None:
    away = system.with_settings(DATABASE_URL=f"postgresql://x@127.0.0.1:{unused_tcp_port}/x", STATUS_PORT="0")
    async with running_service(away) as service, service.client("v8_" + "a" * 12 + "_" + "b" * 43) as http:
        answer = await http.get(f"{API}/jobs")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"] == "5"
        started = (await service.process.until("http.started"))[-1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{started['status_port']}") as probes:
            assert (await probes.get("/livez")).status_code == 200
            not_ready = await probes.get("/readyz")
            assert (not_ready.status_code, not_ready.json()["ok"]) == (503, False)
            assert 'vibe8_http_requests_total{method="GET",route="/api/v1/jobs",status="503"} 1.0' in (
                (await probes.get("/metrics")).text
            )


async def test_a_port_that_is_taken_is_told_in_one_line(system: System, service: RunningService) -> None:
    finished = await system.run("serve", HTTP_PORT=service.address.rpartition(":")[2])
    assert finished.code == 2
    assert finished.error.splitlines()[-1].startswith("vibe8: HTTP_PORT ")


async def test_ended_jobs_are_read_while_they_are_kept(
    service: RunningService, worker: WorkerProcess, client: Client, user_id: UUID, key: str
) -> None:
    job = await client.submit_upload(user_id, filename="a.zip", content=b"no zip")
    async with service.client(key) as http:
        await until_finished(client, user_id, job.job_id)
        result = await http.get(f"{API}/jobs/{job.job_id}/result")
        assert (result.status_code, result.json()["metrics"]) == (200, None)
        assert "not a zip" in result.json()["errors"][0]
        again = await http.post(f"{API}/jobs/{job.job_id}/retry")
        assert again.status_code == 202
        await until_finished(client, user_id, job.job_id)
