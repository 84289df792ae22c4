"""The status server under connections that are reset, idle, or far too many."""

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.request import urlopen

import pytest
import structlog

from infrastructure.observability.status_server import MAX_CONNECTIONS, StatusServer


@pytest.fixture
def server() -> Iterator[StatusServer]:
    opened = StatusServer("127.0.0.1", 0, alive=lambda: None, ready=lambda: None)
    yield opened
    opened.close()


def reset(port: int) -> None:
    """Send half a request and reset the connection."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.sendall(b"GET /met")
    connection.close()


def is_alive(port: int) -> bool:
    with urlopen(f"http://127.0.0.1:{port}/livez", timeout=30) as answer:
        return bool(json.load(answer)["ok"])


def status_threads() -> int:
    return sum("process_request_thread" in thread.name for thread in threading.enumerate())


def wait_until_quiet() -> None:
    deadline = time.monotonic() + 20
    while status_threads() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_reset_connections_write_one_line_at_debug_each(
    server: StatusServer, capfd: pytest.CaptureFixture[str]
) -> None:
    with structlog.testing.capture_logs() as entries:
        for _ in range(5):
            reset(server.port)
        assert is_alive(server.port)
        wait_until_quiet()
    assert [(entry["event"], entry["log_level"]) for entry in entries] == [("status.connection_failed", "debug")] * 5
    assert capfd.readouterr().err == ""


def test_the_number_of_connections_is_limited(server: StatusServer) -> None:
    with ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS + 20):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        deadline = time.monotonic() + 10
        while status_threads() < MAX_CONNECTIONS and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        assert status_threads() == MAX_CONNECTIONS
    assert is_alive(server.port)


def test_a_probe_is_answered_while_others_hold_all_connections(server: StatusServer) -> None:
    with ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        began = time.monotonic()
        assert is_alive(server.port)
        assert time.monotonic() - began < 10
