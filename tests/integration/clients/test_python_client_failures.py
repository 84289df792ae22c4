"""What the Python client does with a service that misbehaves: redirects, endless answers, failures that pass."""

import gzip
import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.integration.clients.either_client import BOTH, either
from vibe8 import Client, ConnectionFailedError, InvalidAnswerError, Retry, ServiceUnavailableError
from worker.http.api.description.examples import JOB

KEY = "v8_k3j2h4g5f6d7_" + "A" * 43
JOB_DOCUMENT = json.dumps(JOB).encode()


@dataclass
class Misbehaving:
    """A server whose answers the test writes, and what it was asked."""

    answer: Callable[[BaseHTTPRequestHandler, int], None]
    address: str = ""
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)


def read_body(request: BaseHTTPRequestHandler) -> bytes:
    """Return the body of a request, which has a length or is in chunks."""
    if "Content-Length" in request.headers:
        return request.rfile.read(int(request.headers["Content-Length"]))
    body = b""
    if request.headers.get("Transfer-Encoding") == "chunked":
        while size := int(request.rfile.readline(), 16):
            body += request.rfile.read(size)
            request.rfile.readline()
        request.rfile.readline()
    return body


def reply(request: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    request.send_response(status)
    for name, value in {"Content_Type": "application/json", "Content_Length": str(len(body)), **headers}.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)


@contextmanager
def misbehaving(answer: Callable[[BaseHTTPRequestHandler, int], None]) -> Iterator[Misbehaving]:
    """Run a server; `answer` gets each request and its number, counted from 1."""
    service = Misbehaving(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            service.asked.append((self.command, self.path, dict(self.headers.items()), read_body(self)))
            try:
                service.answer(self, len(service.asked))
            except ConnectionError:  # the client has read enough
                self.close_connection = True

        do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - the base class names them

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        service.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()


@BOTH
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_the_key_is_not_sent_where_a_redirect_leads(make: Any, status: int) -> None:
    with misbehaving(lambda request, _: reply(request, 200, JOB_DOCUMENT)) as other:

        def redirect(request: BaseHTTPRequestHandler, _: int) -> None:
            reply(request, status, b"", Location=f"{other.address}{request.path}?token=t0ken")

        with misbehaving(redirect) as service:
            async with either(make, service.address, KEY) as vibe8:
                with pytest.raises(InvalidAnswerError, match="is not followed") as raised:
                    await vibe8.jobs.get("x")
                with pytest.raises(InvalidAnswerError, match="is not followed"):
                    await vibe8.jobs.submit_file(b"x", filename="a.py")
        assert other.asked == []
        assert len(service.asked) == 2
        assert other.address in str(raised.value)
        assert "t0ken" not in str(raised.value)


@BOTH
async def test_no_log_and_no_exception_has_the_key(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with misbehaving(lambda request, _: reply(request, 200, b"no JSON")) as service:
        async with either(make, service.address, KEY) as vibe8:
            with pytest.raises(InvalidAnswerError, match="no JSON document") as raised:
                await vibe8.jobs.get("x")
            texts = f"{caplog.text} {raised.value!r} {vibe8.client!r}"
        assert service.asked[0][2]["Authorization"] == f"Bearer {KEY}"
    assert "httpcore" in caplog.text
    assert KEY not in texts


def endless(request: BaseHTTPRequestHandler, _: int) -> None:
    request.send_response(200)
    request.send_header("Content-Type", "application/json")
    request.send_header("Connection", "close")
    request.end_headers()
    while True:
        request.wfile.write(b"[" * 65_536)


def inflated(request: BaseHTTPRequestHandler, _: int) -> None:
    reply(request, 200, gzip.compress(bytes(20_000_000)), Content_Encoding="gzip")


@BOTH
@pytest.mark.parametrize("answer", [endless, inflated])
async def test_an_answer_is_bounded(make: Any, answer: Callable[[BaseHTTPRequestHandler, int], None]) -> None:
    with misbehaving(answer) as service:
        async with either(make, service.address, KEY, max_answer_bytes=1_000_000) as vibe8:
            with pytest.raises(InvalidAnswerError, match="more than 1000000 bytes"):
                await vibe8.runs.get("x")
        assert len(service.asked) == 1


@BOTH
async def test_an_error_without_an_end_is_an_error(make: Any) -> None:
    def refuse(request: BaseHTTPRequestHandler, _: int) -> None:
        request.send_response(503)
        request.send_header("Connection", "close")
        request.end_headers()
        while True:
            request.wfile.write(b"x" * 65_536)

    with misbehaving(refuse) as service:
        async with either(make, service.address, KEY, retry=Retry(attempts=1)) as vibe8:
            with pytest.raises(ServiceUnavailableError) as raised:
                await vibe8.jobs.get("x")
    assert raised.value.code == "http_503"


@BOTH
async def test_a_submission_is_repeated_whole_with_its_key_until_the_service_takes_it(make: Any) -> None:
    content = b"x = 1\n" * 50_000

    def answer(request: BaseHTTPRequestHandler, number: int) -> None:
        if number == 1:
            reply(request, 503, b"", Retry_After="0")
        elif number == 2:
            request.close_connection = True  # without an answer
        else:
            reply(request, 202, JOB_DOCUMENT)

    with misbehaving(answer) as service:
        async with either(make, service.address, KEY) as vibe8:
            job = await vibe8.jobs.submit_file(io.BytesIO(content), filename="a.py")
    assert job.job_id == JOB["job_id"]
    assert len(service.asked) == 3
    assert all(body.count(content) == 1 for _, _, _, body in service.asked)
    assert len({headers["Idempotency-Key"] for _, _, headers, _ in service.asked}) == 1


@BOTH
async def test_what_may_not_be_repeated_is_sent_once(make: Any) -> None:
    with misbehaving(lambda request, _: reply(request, 503, b"", Retry_After="0")) as service:
        async with either(make, service.address, KEY) as vibe8:
            for call in (vibe8.jobs.delete, vibe8.jobs.retry, vibe8.runs.delete, vibe8.repositories.check):
                with pytest.raises(ServiceUnavailableError):
                    await call("x")
        assert len(service.asked) == 4
        async with either(make, service.address, KEY, retry=Retry(attempts=3)) as vibe8:
            with pytest.raises(ServiceUnavailableError):
                await vibe8.jobs.get("x")
        assert len(service.asked) == 7


class Counted(io.BytesIO):
    """A file that knows its largest read. It cannot be read twice where `once` is set."""

    largest = 0
    once = False

    def seekable(self) -> bool:
        return not self.once

    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        self.largest = max(self.largest, len(found))
        return found


@BOTH
async def test_a_file_is_read_while_it_is_sent(make: Any) -> None:
    file = Counted(bytes(5_000_000))
    with misbehaving(lambda request, _: reply(request, 202, JOB_DOCUMENT)) as service:
        async with either(make, service.address, KEY) as vibe8:
            await vibe8.jobs.submit_file(file, filename="a.py")
    assert file.largest <= 65_536
    assert len(service.asked[0][3]) > 5_000_000


@BOTH
async def test_a_file_that_cannot_be_read_twice_is_sent_once(make: Any) -> None:
    file = Counted(b"x = 1\n")
    file.once = True
    with misbehaving(lambda request, _: reply(request, 503, b"", Retry_After="0")) as service:
        async with either(make, service.address, KEY) as vibe8:
            with pytest.raises(ServiceUnavailableError):
                await vibe8.jobs.submit_file(file, filename="a.py")
    assert len(service.asked) == 1


EVENT = {**{key: JOB[key] for key in ("job_id", "stage", "attempt", "error_message")}, "result_run_id": None}


@BOTH
async def test_a_stream_is_resumed_after_the_event_at_which_it_broke_off(make: Any) -> None:
    def answer(request: BaseHTTPRequestHandler, number: int) -> None:
        if not request.path.endswith("/events"):  # the client polls before it connects again
            reply(request, 200, json.dumps({**JOB, "status": "running", "progress": 20}).encode())
            return
        status, progress = ("running", 20) if number == 1 else ("completed", 100)
        data = json.dumps({**EVENT, "status": status, "progress": progress})
        body = f"retry: 10\n\nevent: job\nid: e{number}\ndata: {data}\n\n".encode()
        broken = {"Content_Length": str(len(body) + 9)} if number == 1 else {}
        reply(request, 200, body, **{"Content_Type": "text/event-stream", **broken})
        request.close_connection = True

    with misbehaving(answer) as service:
        async with either(make, service.address, KEY) as vibe8:
            seen = [each.progress async for each in vibe8.jobs.watch("x", timeout=60)]
    assert seen == [20, 100]
    streams = [headers.get("Last-Event-ID") for _, path, headers, _ in service.asked if path.endswith("/events")]
    assert streams == [None, "e1"]


@BOTH
async def test_a_program_that_stops_reading_closes_its_stream(make: Any) -> None:
    ended = threading.Event()

    def answer(request: BaseHTTPRequestHandler, _: int) -> None:
        data = json.dumps({**EVENT, "status": "running", "progress": 20})
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream")
        request.end_headers()
        request.wfile.write(f"event: job\nid: e\ndata: {data}\n\n".encode())
        request.connection.settimeout(30)
        assert request.rfile.read(1) == b""  # until the client closes
        ended.set()
        request.close_connection = True

    with misbehaving(answer) as service:
        async with either(make, service.address, KEY) as vibe8:
            following = vibe8.client.jobs.watch("x", timeout=60)
            if hasattr(following, "aclose"):
                assert (await anext(following)).progress == 20
                await following.aclose()
            else:
                assert next(following).progress == 20
                following.close()
            assert ended.wait(30)


async def test_a_blocking_client_works_beside_a_running_event_loop() -> None:
    empty = b'{"jobs": [], "next": null}'
    with misbehaving(lambda request, _: reply(request, 200, empty)) as service, Client(service.address, KEY) as vibe8:
        assert list(vibe8.jobs.iterate()) == []


async def test_a_service_that_cannot_be_reached_is_named(unused_tcp_port: int) -> None:
    vibe8 = Client(f"http://127.0.0.1:{unused_tcp_port}", KEY, retry=Retry(attempts=1))
    with vibe8, pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1 cannot be reached"):
        vibe8.jobs.list()
