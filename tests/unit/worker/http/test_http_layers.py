"""What every request of the HTTP service passes before its route."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infrastructure.observability.tracing import NoTracer
from worker.http.address import client_address
from worker.http.middleware import bodies
from worker.http.middleware.bodies import BodyLayer
from worker.http.middleware.context import ContextLayer
from worker.http.middleware.origins import OriginLayer, host_name
from worker.http.options import HttpOptions

PROXY, STRANGER = "10.0.0.9", "192.0.2.7"
OPTIONS = HttpOptions(
    allowed_hosts=frozenset({"vibe8.example.org", "[::1]"}),
    trusted_proxies=(ipaddress.ip_network("10.0.0.0/24"),),
    max_json_bytes=1_000,
    max_upload_bytes=10_000,
    cors_origins=("https://tools.example.org",),
    body_seconds=0.05,
)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the length of the body and the caller's address."""
    request = Request(scope, receive)
    body = await request.body()
    await PlainTextResponse(f"{len(body)} {client_address(request, OPTIONS)}")(scope, receive, send)


def layered(app: ASGIApp = echo) -> ASGIApp:
    return ContextLayer(OriginLayer(BodyLayer(app, OPTIONS), OPTIONS), NoTracer())


def caller(app: ASGIApp, peer: str = STRANGER) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, client=(peer, 4711))
    return httpx.AsyncClient(transport=transport, base_url="http://vibe8.example.org")


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with caller(layered()) as client:
        yield client


def code(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    return str(answer.json()["code"])


@pytest.mark.parametrize(
    "host", ["attacker.example", "vibe8.example.org.attacker.example", "127.0.0.1", "", "[::1", "vibe8.example.org:x"]
)
async def test_unknown_host_names_are_refused(http: httpx.AsyncClient, host: str) -> None:
    answer = await http.get("/", headers={"Host": host})
    assert (answer.status_code, code(answer)) == (421, "host_unknown")


@pytest.mark.parametrize("host", ["vibe8.example.org", "VIBE8.example.org:8808", "[::1]:8808", "[::1]"])
async def test_known_host_names_are_accepted_with_any_port(http: httpx.AsyncClient, host: str) -> None:
    assert (await http.get("/", headers={"Host": host})).status_code == 200


async def test_two_host_headers_are_refused(http: httpx.AsyncClient) -> None:
    hosts = [("Host", "vibe8.example.org"), ("Host", "vibe8.example.org")]
    assert code(await http.get("/", headers=hosts)) == "malformed"


def test_port_is_no_part_of_a_host_name() -> None:
    assert [host_name(text) for text in ("A.b:80", "[::1]:80", "[::1]", "a")] == ["a.b", "[::1]", "[::1]", "a"]


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Origin": "http://vibe8.example.org"}, True),
        ({"Origin": "https://tools.example.org"}, True),
        ({"Origin": "http://attacker.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://vibe8.example.org.attacker.example"}, False),
        ({"Origin": "http://user@vibe8.example.org"}, False),
        ({"Origin": "gopher://vibe8.example.org"}, False),
        ({"Origin": "http://["}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-origin"}, True),
    ],
)
async def test_pages_of_other_sites_can_change_nothing(
    http: httpx.AsyncClient, headers: dict[str, str], allowed: bool
) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = await http.request(method, "/", headers=headers)
        assert answer.status_code == (200 if allowed else 403), method
        assert allowed or code(answer) == "cross_site"
    assert (await http.get("/", headers=headers)).status_code == 200


async def test_bodies_are_bounded_by_their_declared_length(http: httpx.AsyncClient) -> None:
    assert (await http.post("/", content=bytes(1_000))).text.startswith("1000 ")
    assert code(await http.post("/", content=bytes(1_001))) == "too_large"
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    assert (await http.post("/", content=bytes(10_000), headers=form)).status_code == 200
    assert (await http.post("/", content=bytes(10_000 + 64 * 1024 + 1), headers=form)).status_code == 413
    for length in ("-1", "1e3", "0x10", "1000 1000"):
        answer = await http.post("/", content=b"", headers={"Content-Length": length})
        assert code(answer) == "malformed", length


async def test_bodies_without_a_length_are_bounded_while_they_arrive(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "LINGER_SECONDS", 0.0)
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1_000_000:
            sent += 100
            await asyncio.sleep(0)
            yield bytes(100)

    assert code(await http.post("/", content=endless())) == "too_large"
    assert sent <= 1_200


async def test_a_body_that_stops_arriving_is_given_up(http: httpx.AsyncClient) -> None:
    async def stopping() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.Event().wait()

    async with asyncio.timeout(10):
        assert code(await http.post("/", content=stopping())) == "timeout"


async def test_a_body_that_trickles_is_given_up_before_its_end() -> None:
    async def trickling() -> AsyncIterator[bytes]:
        for _ in range(1_000):
            await asyncio.sleep(0.02)
            yield b"a"

    app = ContextLayer(BodyLayer(echo, HttpOptions(max_json_bytes=2_000, body_seconds=1.0)), NoTracer())
    async with caller(app) as http:
        assert code(await http.post("/", content=trickling())) == "timeout"


async def test_bodies_that_arrive_at_once_share_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_HELD_HOOK_BYTES", 1_000)
    half_way, rest = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield bytes(600)
        half_way.set()
        await rest.wait()
        yield bytes(300)

    options = HttpOptions()
    app = ContextLayer(BodyLayer(echo, options), NoTracer())
    async with caller(app) as http:
        first = asyncio.create_task(http.post("/api/v1/hooks/x", content=slow()))
        await half_way.wait()
        refused = await http.post("/api/v1/hooks/y", content=bytes(600))
        assert code(refused) == "unavailable"
        assert refused.headers["retry-after"] == "5"
        assert (await http.post("/", content=bytes(600))).status_code == 200, "others have a share of their own"
        rest.set()
        assert (await first).text.startswith("900 ")
        assert (await http.post("/api/v1/hooks/y", content=bytes(900))).status_code == 200, "it is given back"


async def test_errors_of_a_body_are_not_taken_for_those_of_a_parser() -> None:
    async def parsing(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await Request(scope, receive).body()
        except Exception:  # noqa: BLE001 - as a framework does
            await PlainTextResponse("bad form", 400)(scope, receive, send)

    async with caller(layered(parsing)) as http:
        content = (bytes(600) for _ in range(2))

        async def chunks() -> AsyncIterator[bytes]:
            for chunk in content:
                yield chunk

        assert code(await http.post("/", content=chunks())) == "too_large"


async def test_unexpected_errors_are_answered_without_their_text(capfd: pytest.CaptureFixture[str]) -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("the secret of the house")

    async with caller(layered(failing)) as http:
        answer = await http.get("/")
    assert (answer.status_code, code(answer)) == (500, "internal")
    assert "secret" not in answer.text
    assert "the secret of the house" in "".join(capfd.readouterr())


async def test_an_answer_that_has_begun_is_not_answered_again() -> None:
    sent: list[Message] = []

    async def breaking(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("half way")

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"[::1]")]}
    await layered(breaking)(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        (STRANGER, ["1.2.3.4"], STRANGER),
        (PROXY, [], PROXY),
        (PROXY, ["1.2.3.4"], "1.2.3.4"),
        (PROXY, ["6.6.6.6, 1.2.3.4, 10.0.0.3"], "1.2.3.4"),
        (PROXY, ["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
        ("::ffff:10.0.0.9", ["1.2.3.4"], "1.2.3.4"),
    ],
)
async def test_address_is_the_peers_unless_a_trusted_proxy_names_one(
    peer: str, forwarded: list[str], address: str
) -> None:
    async with caller(layered(), peer) as http:
        answer = await http.get("/", headers=[("X-Forwarded-For", value) for value in forwarded])
    assert answer.text == f"0 {address}"


async def test_request_ids_are_the_callers_if_they_are_plain(http: httpx.AsyncClient) -> None:
    given = await http.get("/", headers={"X-Request-Id": "trace-0123456789"})
    assert given.headers["x-request-id"] == "trace-0123456789"
    for odd in ("short", "with space in it", "<script>alert(1)</script>", "a" * 65):
        answer = await http.get("/", headers={"X-Request-Id": odd})
        assert answer.headers["x-request-id"] != odd
        assert len(answer.headers["x-request-id"]) == 32


async def test_every_answer_tells_browsers_what_they_must_not_do(http: httpx.AsyncClient) -> None:
    for answer in (await http.get("/"), await http.get("/", headers={"Host": "attacker.example"})):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
