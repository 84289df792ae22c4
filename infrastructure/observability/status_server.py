"""HTTP server for `/livez`, `/readyz` and `/metrics`, on its own thread: it answers while the event loop is busy."""

import io
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import make_wsgi_app

from domain.errors import InvalidInputError
from infrastructure.observability.prometheus_metrics import REGISTRY

Probe = Callable[[], str | None]
"""Returns why the probe fails, in one line; None if it succeeds."""

MAX_CONNECTIONS = 32
"""Each connection has a thread. One more closes the oldest, so that idle connections keep no probe out."""

CLOSE_SECONDS = 1.0
"""How long a new connection waits for the thread of the oldest to end."""

log = structlog.get_logger(__name__)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._open: dict[socket.socket, None] = {}
        super().__init__(*arguments, **options)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for the connection, after closing the oldest one if there are too many."""
        if not self._places.acquire(blocking=False):
            oldest = next(iter(self._open.copy()), None)
            if oldest is not None:
                with suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
            if not self._places.acquire(timeout=CLOSE_SECONDS):
                self.shutdown_request(request)
                return
        self._open[request] = None
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._give_back(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer the request, and free its place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._give_back(request)

    def _give_back(self, request: Any) -> None:
        self._open.pop(request, None)
        self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's signature
        """Log one line: whoever connects can cause as many errors as they like."""
        log.debug("status.connection_failed", reason=repr(sys.exception()))


class _ErrorLine(io.StringIO):
    """Standard error of a request: logs the last line of each traceback that is written to it."""

    def flush(self) -> None:
        lines = self.getvalue().split("\n")
        self.seek(0)
        self.truncate()
        reason = next((line for line in reversed(lines) if line), None)
        if reason is not None:
            log.debug("status.connection_failed", reason=reason)


class _Handler(WSGIRequestHandler):
    timeout = 10

    def get_stderr(self) -> Any:
        """Return where the base class writes tracebacks."""
        return _ErrorLine()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Log nothing: probes come every few seconds."""


class StatusServer:
    """Serves the three paths until `close`."""

    def __init__(self, host: str, port: int, *, alive: Probe, ready: Probe) -> None:
        """Listen on `host:port` (port 0: any free port). Raises InvalidInputError if the port cannot be used."""
        self._probes: Mapping[str, Probe] = {"/livez": alive, "/readyz": ready}
        self._metrics = make_wsgi_app(REGISTRY)
        try:
            self._server = make_server(host, port, self._respond, server_class=_Server, handler_class=_Handler)
        except OSError as error:
            raise InvalidInputError(f"STATUS_PORT {port} on {host} cannot be used: {error.strerror}") from error
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="status", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _respond(self, environment: dict[str, Any], start: Any) -> Iterable[bytes]:
        path = environment.get("PATH_INFO", "")
        if path == "/metrics":
            body: Iterable[bytes] = self._metrics(environment, start)
            return body
        probe = self._probes.get(path)
        if probe is None:
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"the paths are /livez, /readyz and /metrics\n"]
        reason = probe()
        start("200 OK" if reason is None else "503 Service Unavailable", [("Content-Type", "application/json")])
        return [json.dumps({"ok": reason is None, "reason": reason}).encode() + b"\n"]
