"""Guessing the password of a shared report: from one address, from many, and what its readers notice of it."""

import asyncio
import ipaddress
from collections import Counter
from uuid import UUID

import httpx
import pytest
from starlette.types import ASGIApp

from domain import reports
from domain.reports import WRONG_PASSWORDS, SharedReport
from infrastructure.database.engine import Database
from infrastructure.redis import report_passwords
from tests.fixtures.jobs import complete_upload
from tests.fixtures.network.http_service import Tokens, http_client
from worker.client import Client
from worker.http import HttpOptions, create_app

PROXY = "10.0.0.9"
RIGHT = "correct horse"
SOME = 8
"""Wrong passwords of all addresses that the report takes in this module."""


@pytest.fixture
def app(client: Client, tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> ASGIApp:
    monkeypatch.setattr(report_passwords, "MEMORY_KIB", 64)  # or each guess takes 0.2 s
    monkeypatch.setattr(report_passwords, "WRONG_PASSWORDS_OF_ALL", SOME)
    options = HttpOptions(trusted_proxies=(ipaddress.ip_network(PROXY),))
    return create_app(client, identify=tokens, options=options)


@pytest.fixture
async def report(app: ASGIApp, client: Client, database: Database, user_id: UUID) -> SharedReport:
    run = await complete_upload(client, database, user_id)
    return await client.reports.create(user_id, run, password=RIGHT)


async def give(
    app: ASGIApp, report: SharedReport, password: str, peer: str, headers: dict[str, str] | None = None
) -> httpx.Response:
    """Give a password from an address, with the form of the page."""
    async with http_client(app, peer=peer) as http:
        named = {"Origin": "http://localhost", "Accept": "text/html", **(headers or {})}
        return await http.post(f"/r/{report.code}", data={"password": password}, headers=named)


async def guess(app: ASGIApp, report: SharedReport, peers: list[str]) -> Counter[int]:
    """Give a wrong password from each of the addresses, all at once. Returns how many answers have which status."""
    return Counter(
        answer.status_code for answer in await asyncio.gather(*(give(app, report, "wrong", each) for each in peers))
    )


async def look(app: ASGIApp, report: SharedReport, cookie: str) -> int:
    async with http_client(app, peer="192.0.2.99") as http:
        return (await http.get(f"/r/{report.code}", headers={"Cookie": cookie})).status_code


async def test_who_guesses_is_stopped_and_nobody_else(app: ASGIApp, report: SharedReport) -> None:
    answers = await guess(app, report, ["192.0.2.7"] * 30)
    assert answers == {401: WRONG_PASSWORDS, 429: 30 - WRONG_PASSWORDS}
    stopped = await give(app, report, RIGHT, "192.0.2.7")
    assert stopped.status_code == 429
    assert 0 < int(stopped.headers["retry-after"]) <= 60
    reader = await give(app, report, RIGHT, "192.0.2.8")
    assert (reader.status_code, "<h1" in reader.text) == (200, True)


async def test_guesses_from_many_addresses_are_bounded_together(app: ASGIApp, report: SharedReport) -> None:
    answers = await guess(app, report, [f"192.0.2.{number}" for number in range(40)])
    assert answers == {401: SOME, 429: 40 - SOME}
    assert (await give(app, report, RIGHT, "192.0.2.99")).status_code == 429


async def test_a_network_of_ipv6_is_one_address(app: ASGIApp, report: SharedReport) -> None:
    answers = await guess(app, report, [f"2001:db8:1:2:{number:x}::1" for number in range(30)])
    assert answers == {401: WRONG_PASSWORDS, 429: 30 - WRONG_PASSWORDS}
    assert (await give(app, report, RIGHT, "2001:db8:1:3::1")).status_code == 200


async def test_only_a_trusted_proxy_says_where_a_guess_comes_from(app: ASGIApp, report: SharedReport) -> None:
    for number in range(WRONG_PASSWORDS):
        wrong = await give(app, report, "wrong", "192.0.2.7", {"X-Forwarded-For": f"8.8.8.{number}"})
        assert wrong.status_code == 401
    for peer, forwarded, status in (
        ("192.0.2.7", "8.8.4.4", 429),
        (PROXY, "8.8.4.4, 192.0.2.7", 429),
        (PROXY, "192.0.2.7, 8.8.4.4", 200),
    ):
        assert (await give(app, report, RIGHT, peer, {"X-Forwarded-For": forwarded})).status_code == status, forwarded


async def test_who_has_opened_the_report_is_never_stopped(app: ASGIApp, report: SharedReport) -> None:
    opened = await give(app, report, RIGHT, "192.0.2.8")
    cookie, *attributes = opened.headers["set-cookie"].split("; ")
    assert set(attributes) == {f"Path=/r/{report.code}", "HttpOnly", "Secure", "SameSite=lax", "Max-Age=43200"}
    await guess(app, report, [f"192.0.2.{number}" for number in range(40)])
    assert await look(app, report, cookie) == 200
    assert await look(app, report, "other=1") == 401


async def test_the_cookie_of_a_reader_opens_one_report_for_a_time(
    app: ASGIApp, report: SharedReport, client: Client, user_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = (await give(app, report, RIGHT, "192.0.2.8")).headers["set-cookie"].split("; ")[0]
    name, _, text = cookie.partition("=")
    ends, _, signature = text.partition(".")
    other = await client.reports.create(user_id, report.run_id, password=RIGHT)
    assert await look(app, other, cookie) == 401
    forged = ("", ".", f"{'9' * 12}.{signature}", f"{int(ends) + 1}.{signature}", f"{ends}.{signature[:-1]}")
    for each in forged:
        assert await look(app, report, f"{name}={each}") == 401, each
    assert await look(app, report, f"{cookie}; {cookie}") == 401, "another site of the domain may have set one of them"
    monkeypatch.setattr(reports, "READER_HOURS", -1)
    assert await look(app, report, f"{name}={await client.reports.admit(report.code, RIGHT)}") == 401, "it has ended"
    await client.reports.withdraw(user_id, report.code)
    assert await look(app, report, cookie) == 404
