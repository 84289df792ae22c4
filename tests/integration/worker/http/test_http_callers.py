"""Who may call the API: permissions, and the header of a trusted proxy."""

import ipaddress
from uuid import UUID

import httpx
import pytest

from tests.fixtures.network.http_service import Tokens, http_client
from worker.client import Client
from worker.http import HttpOptions, Permission, create_app
from worker.http.server.trusted_header import TrustedHeader

JOBS = "/api/v1/jobs"


async def test_callers_without_valid_credentials_are_asked_for_them(ann_http: httpx.AsyncClient) -> None:
    for headers in ({"Authorization": ""}, {"Authorization": "Bearer unknown"}, {"Authorization": "Basic YTpi"}):
        answer = await ann_http.get(JOBS, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_jobs_are_listed_page_by_page_for_their_owner_alone(
    ann_http: httpx.AsyncClient, bob_http: httpx.AsyncClient, client: Client, user_id: UUID
) -> None:
    made = [(await client.submit_upload(user_id, filename="a.py", content=b"x")).job_id for _ in range(3)]
    first = (await ann_http.get(JOBS, params={"limit": 2})).json()
    second = (await ann_http.get(JOBS, params={"limit": 2, "cursor": first["next"]})).json()
    assert [job["job_id"] for job in (*first["jobs"], *second["jobs"])] == made[::-1]
    assert second["next"] is None
    assert (await bob_http.get(JOBS)).json() == {"jobs": [], "next": None}


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("POST", "/retry")])
async def test_foreign_and_unknown_jobs_are_answered_alike(
    bob_http: httpx.AsyncClient, client: Client, user_id: UUID, method: str, path: str
) -> None:
    theirs = (await client.submit_upload(user_id, filename="a.py", content=b"x")).job_id
    named = {"X-Request-Id": "0" * 32}
    answers = [await bob_http.request(method, f"{JOBS}/{job}{path}", headers=named) for job in (theirs, "f" * 32)]
    assert answers[0].status_code == answers[1].status_code == 404
    assert answers[0].content == answers[1].content
    assert (await client.get_job(user_id, theirs)).status == "pending"


async def test_acts_have_the_callers_address_in_the_audit_log(
    ann_http: httpx.AsyncClient, client: Client, user_id: UUID, database: object
) -> None:
    job_id = (await client.submit_upload(user_id, filename="a.py", content=b"x")).job_id
    assert (await ann_http.delete(f"{JOBS}/{job_id}", headers={"User-Agent": "curl/8"})).status_code == 202
    async with client._database.unit_of_work() as work:
        from infrastructure.database.access.audit_log import AuditRepository

        entries = await AuditRepository(work).list_entries(limit=1)
    assert (entries[0].action, entries[0].address, entries[0].user_agent) == ("cancel", "192.0.2.7", "curl/8")


def proxied(client: Client, peer: str, header: str = "x-forwarded-email") -> httpx.AsyncClient:
    """Return a client of a service that trusts a proxy at 10.0.0.9."""
    options = HttpOptions(
        trusted_proxies=(ipaddress.ip_network("10.0.0.9/32"),),
        trusted_user_header=header,
        operators=frozenset({"root@example.org"}),
    )
    app = create_app(client, identify=TrustedHeader(client, options), options=options)
    transport = httpx.ASGITransport(app=app, client=(peer, 4711))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def test_the_header_of_a_trusted_proxy_names_the_user(client: Client) -> None:
    async with proxied(client, "10.0.0.9") as http:
        assert (await http.get(JOBS, headers={"X-Forwarded-Email": "ann@example.org"})).status_code == 200
        assert (await http.get(JOBS)).status_code == 401
        assert (await http.get(JOBS, headers={"X-Forwarded-Email": "no email"})).status_code == 401


async def test_the_header_means_nothing_from_another_address(client: Client) -> None:
    for peer in ("10.0.0.10", "192.0.2.7", "::1"):
        async with proxied(client, peer) as http:
            named = {"X-Forwarded-Email": "ann@example.org", "X-Forwarded-For": "10.0.0.9", "Forwarded": "for=10.0.0.9"}
            assert (await http.get(JOBS, headers=named)).status_code == 401


async def test_second_spellings_of_the_trusted_header_are_refused(client: Client) -> None:
    good = ("X-Forwarded-Email", "ann@example.org")
    for other in (good, ("X_Forwarded_Email", "bob@example.org"), ("X-Forwarded_Email", "bob@example.org")):
        async with proxied(client, "10.0.0.9") as http:
            for headers in ([good, other], [other, good]):
                answer = await http.get(JOBS, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
            if other is not good:
                assert (await http.get(JOBS, headers=[other])).status_code == 400


@pytest.mark.parametrize("permission", Permission)
async def test_each_permission_stands_alone(
    ann_http: httpx.AsyncClient, client: Client, user_id: UUID, tokens: Tokens, permission: Permission
) -> None:
    app = ann_http._transport.app  # type: ignore[attr-defined]
    async with http_client(app, tokens.add(user_id, [permission])) as http:
        reading = await http.get(JOBS)
        submitting = await http.post(f"{JOBS}/{'f' * 32}/retry")
    assert reading.status_code == (200 if permission is Permission.READ else 403)
    assert submitting.status_code == (404 if permission is Permission.SUBMIT else 403)
