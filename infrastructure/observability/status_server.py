"""HTTP server for `/livez`, `/readyz` and `/metrics`, on its own thread: it answers while the event loop is busy."""

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from domain.errors import InvalidInputError
from infrastructure.observability.prometheus_metrics import REGISTRY

Probe = Callable[[], str | None]
"""Returns why the probe fails, in one line; None if it succeeds."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = 10

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
