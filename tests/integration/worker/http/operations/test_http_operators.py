"""What operators do over HTTP, and API keys that callers make."""

from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from domain.jobs import Job
from tests.fixtures.network.http_service import Tokens, http_client
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, WorkerProcess, until_finished
from worker.client import Client
from worker.http import Permission

OPS, KEYS = "/api/v1/ops", "/api/v1/keys"
CALLS = (
    ("GET", "/queue"), ("POST", "/pause"), ("POST", "/resume"), ("GET", "/workers"), ("POST", "/drain"),
    ("GET", "/jobs"), ("GET", "/jobs/x"), ("POST", "/jobs/x/cancel"), ("POST", "/jobs/x/retry"), ("GET", "/audit"),
    ("GET", "/ends"), ("GET", "/checks"), ("GET", "/webhooks"), ("POST", "/webhooks/x/resend"),
)  # fmt: skip


async def jobs_of(client: Client, email: str, count: int) -> list[Job]:
    user = await client.get_or_create_user(email)
    return [await client.submit_upload(user, filename="a.py", content=b"x") for _ in range(count)]


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_only_operators_may_operate(
    ann_http: httpx.AsyncClient, user_id: UUID, tokens: Tokens, method: str, path: str
) -> None:
    others = frozenset(Permission) - {Permission.OPERATE}
    app = ann_http._transport.app  # type: ignore[attr-defined]
    async with http_client(app, tokens.add(user_id, others)) as http:
        answer = await http.request(method, f"{OPS}{path}", json={"worker_id": None})
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_missing")


async def test_jobs_of_all_users_are_listed_page_by_page(ann_http: httpx.AsyncClient, client: Client) -> None:
    made = [*await jobs_of(client, "carl@example.org", 3), *await jobs_of(client, "dora@example.org", 2)]
    seen, cursor = [], None
    for _ in range(3):
        page = (await ann_http.get(f"{OPS}/jobs", params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
        seen += [(job["job_id"], job["owner"]) for job in page["jobs"]]
        cursor = page["next"]
    assert cursor is None
    owners = ["carl@example.org"] * 3 + ["dora@example.org"] * 2
    assert seen == list(zip([job.job_id for job in made], owners, strict=True))[::-1]
    of_carl = (await ann_http.get(f"{OPS}/jobs", params={"user": "carl@example.org", "limit": 2})).json()
    assert [job["job_id"] for job in of_carl["jobs"]] == [job.job_id for job in made[2:0:-1]]
    rest = await ann_http.get(f"{OPS}/jobs", params={"user": "carl@example.org", "cursor": of_carl["next"]})
    assert [job["job_id"] for job in rest.json()["jobs"]] == [made[0].job_id]
    failed = await ann_http.get(f"{OPS}/jobs", params={"status": "failed"})
    assert failed.json() == {"jobs": [], "next": None}
    assert (await ann_http.get(f"{OPS}/jobs", params={"user": "nobody@example.org"})).status_code == 404


async def test_equal_times_lose_no_job_between_pages(
    ann_http: httpx.AsyncClient, client: Client, database: Any
) -> None:
    made = await jobs_of(client, "carl@example.org", 4)

    async with database.unit_of_work() as work:
        await work.execute(text("SET LOCAL session_replication_role = replica"))
        await work.execute(text("UPDATE jobs SET updated_at = '2026-01-01T00:00:00Z'"))
    seen, cursor = [], None
    while True:
        page = (await ann_http.get(f"{OPS}/jobs", params={"limit": 1, **({"cursor": cursor} if cursor else {})})).json()
        seen += [job["job_id"] for job in page["jobs"]]
        if (cursor := page["next"]) is None:
            break
    assert sorted(seen) == sorted(job.job_id for job in made)
    assert len(seen) == 4


async def test_jobs_of_others_are_cancelled_and_retried_under_the_operators_name(
    ann_http: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    (job,) = await jobs_of(client, "carl@example.org", 1)
    assert (await ann_http.get(f"{OPS}/jobs/{job.job_id}")).json()["notices"] == []
    cancelled = await ann_http.post(f"{OPS}/jobs/{job.job_id}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "failed")
    again = await ann_http.post(f"{OPS}/jobs/{job.job_id}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert (await ann_http.post(f"{OPS}/jobs/{job.job_id}/retry")).status_code == 409, "its upload is gone"
    for act in ("cancel", "retry"):
        assert (await ann_http.post(f"{OPS}/jobs/unknown/{act}")).status_code == 404
    (entry,) = (await ann_http.get(f"{OPS}/audit", params={"action": "cancel"})).json()["entries"]
    assert (entry["user_id"], entry["resource_id"]) == (str(job.user_id), job.job_id)
    assert entry["details"] == {"status": "pending", "by": "operator", "operator_id": str(user_id)}
    assert entry["ip_address"] == "192.0.2.7"


async def test_the_audit_log_is_read_page_by_page(ann_http: httpx.AsyncClient, client: Client) -> None:
    await jobs_of(client, "carl@example.org", 3)
    first = (await ann_http.get(f"{OPS}/audit", params={"limit": 2, "user": "carl@example.org"})).json()
    second = (
        await ann_http.get(f"{OPS}/audit", params={"limit": 2, "user": "carl@example.org", "cursor": first["next"]})
    ).json()
    assert (len(first["entries"]), len(second["entries"]), second["next"]) == (2, 1, None)
    assert {entry["action"] for entry in (*first["entries"], *second["entries"])} == {"submit"}


async def test_the_fleet_is_paused_resumed_and_drained(
    ann_http: httpx.AsyncClient, system: System, client: Client, worker: WorkerProcess, user_id: UUID
) -> None:
    assert (await ann_http.post(f"{OPS}/pause")).json() == {"paused": True, "changed": True}
    assert (await ann_http.post(f"{OPS}/pause")).json() == {"paused": True, "changed": False}
    assert (await ann_http.get(f"{OPS}/queue")).json()["paused"] is True
    job = await client.submit_upload(user_id, filename="a.zip", content=b"no zip")
    assert (await ann_http.post(f"{OPS}/resume")).json() == {"paused": False, "changed": True}
    await until_finished(client, user_id, job.job_id)
    retried = await ann_http.post(f"{OPS}/jobs/{job.job_id}/retry")
    assert (retried.status_code, retried.json()["status"]) == (202, "pending")

    async def reported() -> bool:
        return len((await ann_http.get(f"{OPS}/workers")).json()["workers"]) == 1

    await until(reported)
    (listed,) = (await ann_http.get(f"{OPS}/workers")).json()["workers"]
    assert listed["pid"] == worker.process.pid
    assert (await ann_http.post(f"{OPS}/drain", json={"worker_id": "unknown"})).status_code == 404
    assert (await ann_http.post(f"{OPS}/drain", json={})).status_code == 422, "all workers end on purpose only"
    told = await ann_http.post(f"{OPS}/drain", json={"worker_id": listed["replica_id"]})
    assert told.json() == {"draining": [listed["replica_id"]]}
    await worker.until("worker.stopped")
    (entry,) = (await ann_http.get(f"{OPS}/audit", params={"action": "drain"})).json()["entries"]
    assert entry["details"]["operator_id"] == str(user_id)


async def test_keys_are_made_listed_and_revoked(
    ann_http: httpx.AsyncClient, bob_http: httpx.AsyncClient, client: Client
) -> None:
    wanted = {"name": "ci", "permissions": ["read", "submit"], "expires_at": "2099-01-01T00:00:00Z"}
    made = await ann_http.post(KEYS, json=wanted)
    assert made.status_code == 201, made.text
    key = made.json()
    assert (await client.keys.authenticate(key["key"])).permissions == {"read", "submit"}
    (listed,) = (await ann_http.get(KEYS)).json()["keys"]
    assert listed["id"] == key["id"]
    assert key["key"] not in (await ann_http.get(KEYS)).text
    assert (await bob_http.get(KEYS)).json() == {"keys": []}
    named = {"X-Request-Id": "0" * 32}
    foreign = [await bob_http.delete(f"{KEYS}/{each}", headers=named) for each in (key["id"], UUID(int=7), "no-id")]
    assert {answer.status_code for answer in foreign} == {404}
    assert len({answer.content for answer in foreign}) == 1
    assert (await ann_http.delete(f"{KEYS}/{key['id']}")).json()["is_active"] is False


@pytest.mark.parametrize(
    ("held", "asked", "status"),
    [
        ("manage read", "read", 201),
        ("manage read", "submit", 403),
        ("manage operate", "operate", 403),
        ("read submit", "read", 403),
    ],
)
async def test_a_key_makes_no_key_that_allows_more_than_itself(
    ann_http: httpx.AsyncClient, user_id: UUID, tokens: Tokens, held: str, asked: str, status: int
) -> None:
    app = ann_http._transport.app  # type: ignore[attr-defined]
    async with http_client(app, tokens.add(user_id, [Permission(each) for each in held.split()])) as http:
        answer = await http.post(KEYS, json={"name": "more", "permissions": [asked]})
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"name": "", "permissions": ["read"]},
        {"name": "a\0", "permissions": ["read"]},
        {"name": "a", "permissions": []},
        {"name": "a", "permissions": ["all"]},
        {"name": "a", "permissions": "read"},
        {"name": "a", "permissions": ["read"], "rate_limit": 0},
        {"name": "a", "permissions": ["read"], "rate_limit": "10"},
        {"name": "a", "permissions": ["read"], "expires_at": "tomorrow"},
        {"name": "a", "permissions": ["read"], "expires_at": "2099-01-01T00:00:00"},
        {"name": "a", "permissions": ["read"], "expires_at": "2001-01-01T00:00:00Z"},
        {"name": "a", "permissions": ["read"], "user_id": "x"},
    ],
)
async def test_what_is_no_key_is_refused(ann_http: httpx.AsyncClient, wanted: dict[str, Any]) -> None:
    answer = await ann_http.post(KEYS, json=wanted)
    assert answer.status_code == 422, answer.text
    assert (await ann_http.get(KEYS)).json() == {"keys": []}
