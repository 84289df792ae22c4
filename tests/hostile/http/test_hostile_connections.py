"""Bytes that are no plain request, sent to a real server: how each is answered, and that the connection ends."""

import asyncio
import resource
import socket
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from infrastructure.observability.tracing import NoTracer
from worker.http import HttpOptions
from worker.http.middleware.bodies import BodyLayer
from worker.http.middleware.context import ContextLayer, path_without_secrets
from worker.http.middleware.heads import MAX_ESCAPES, MAX_HEAD_BYTES, HeadLayer
from worker.http.middleware.origins import OriginLayer
from worker.http.server import protocol
from worker.http.server.protocol import BoundedH11Protocol
from worker.http.server.serve import allow_open_files

HOST = b"Host: localhost\r\n"
LARGE = 16 * 1024 * 1024


async def read_body(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the length of the body, or with a large answer."""
    request = Request(scope, receive)
    body = await request.body()
    large = request.url.path == "/large"
    await (Response(bytes(LARGE)) if large else PlainTextResponse(f"read {len(body)}"))(scope, receive, send)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[uvicorn.Server]:
    monkeypatch.setattr(protocol, "UNREAD_SECONDS", 0.02)
    monkeypatch.setattr(protocol, "CHECK_SECONDS", 0.05)
    options = HttpOptions()
    app = ContextLayer(HeadLayer(OriginLayer(BodyLayer(read_body, options), options)), NoTracer())
    config = uvicorn.Config(app, http=BoundedH11Protocol, ws="none", lifespan="off", log_config=None, loop="none")
    running = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running.config.port = listening.getsockname()[1]
        serving = asyncio.create_task(running._serve([listening]))
        yield running
        running.should_exit = True
        await serving


async def exchange(server: uvicorn.Server, sent: bytes) -> bytes:
    """Send the bytes, and return all that comes until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.config.port)
    writer.write(sent)
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    "lengths",
    [
        b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 0x5\r\n",
    ],
)
async def test_a_body_whose_end_is_ambiguous_ends_the_connection(server: uvicorn.Server, lengths: bytes) -> None:
    hidden = b"GET /hidden HTTP/1.1\r\n" + HOST + b"\r\n"
    answer = await exchange(server, b"POST / HTTP/1.1\r\n" + HOST + lengths + b"\r\n0\r\n\r\n" + hidden)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1, "what follows such a body is no request"


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.0\r\n",
        b"GET / HTTP/1.1\r\n",
        b"GET /\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rSet-Cookie: b\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + HOST + b"Connection: close\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * MAX_HEAD_BYTES + b"\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 20_000,
        b"GET / HTTP/1.1\r\n" + HOST + b"Cookie: a=" + b"\\" * (MAX_ESCAPES + 1) + b"\r\n",
    ],
)
async def test_heads_that_are_none_are_refused(server: uvicorn.Server, head: bytes) -> None:
    answer = await exchange(server, head + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 400")


async def test_requests_behind_each_other_are_answered_in_turn(server: uvicorn.Server) -> None:
    post = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc"
    last = b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\nUpgrade: websocket\r\nRange: bytes=0-1\r\n\r\n"
    answer = await exchange(server, post * 20 + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 21
    assert answer.count(b"read 3") == 20
    assert answer.endswith(b"read 0")


async def test_an_answer_that_nobody_reads_is_dropped(server: uvicorn.Server) -> None:
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        stalled.connect(("127.0.0.1", server.config.port))
        stalled.sendall(b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n")
        async with asyncio.timeout(30):
            while not server.server_state.connections:
                await asyncio.sleep(0.01)
            while server.server_state.connections:
                await asyncio.sleep(0.01)


async def test_an_answer_that_is_read_arrives_whole(server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "UNREAD_SECONDS", 30.0)
    async with httpx.AsyncClient(base_url=f"http://localhost:{server.config.port}", timeout=60) as http:
        answer = await http.get("/large")
        assert len(answer.content) == LARGE


def test_the_service_may_open_as_many_files_as_it_accepts_connections() -> None:
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1_024), hard))
        allow_open_files(1_500)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(1_500, hard), hard)
        allow_open_files(10)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(1_500, hard), hard), "it is never lowered"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_cookies_cost_little_whatever_is_in_them() -> None:
    text = b'vibe8_session="' + b"\\" * MAX_ESCAPES + b"a" * (MAX_HEAD_BYTES - MAX_ESCAPES - 50) + b'"'
    request = Request({"type": "http", "headers": [(b"cookie", text)]})
    began = time.process_time()
    assert len(request.cookies) == 1
    assert time.process_time() - began < 0.1


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/sign-in/abcdef", "/sign-in/***"),
        ("/app/r/abcdef", "/app/r/***"),
        ("/badge/abcdef.svg", "/badge/***"),
        ("/api/v1/reports/abcdef", "/api/v1/reports/***"),
        ("/shares/abcdef/withdraw", "/shares/***/withdraw"),
        ("/jobs/abcdef", "/jobs/abcdef"),
        ("/" + "a" * 300, "/" + "a" * 199),
    ],
)
def test_logs_and_traces_have_no_path_that_opens_something(path: str, shown: str) -> None:
    assert path_without_secrets(path) == shown
