"""A git host on loopback: `git http-backend` behind TLS, with the faults that real hosts have.

with GitServer(directory) as server:
    server.add("owner/public", bare_repository)
    url = server.url("owner/public")        # https://127.0.0.1:PORT/owner/public
    server.allowed_host, server.ca_file     # for GIT_ALLOWED_HOSTS and GIT_CA_BUNDLE
"""

import base64
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

import trustme


@dataclass
class Fault:
    """What to answer instead of the repository."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    hold: threading.Event | None = None  # promised the body, but not sent before this is set


class GitServer:
    """Serves the bare repositories that were added, one thread a request; remembers every request it saw."""

    def __init__(self, directory: Path, *, names: Sequence[str] = ()) -> None:
        """Listen on 127.0.0.1; the certificate is for that address, `localhost` and `names`."""
        self._directory = directory
        self._root = directory / "served"
        self._root.mkdir(parents=True)
        self.ca_file = directory / "ca.pem"
        self.host = "127.0.0.1"
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.tokens: dict[str, str] = {}
        self.faults: dict[str, Fault] = {}
        self.exact: dict[str, Fault] = {}  # by the request's whole path
        self.released = threading.Event()
        self.held: dict[str, threading.Event] = {}  # repositories whose objects wait for the event
        self.waiting: list[str] = []  # those that somebody has asked for since
        self.garble: Callable[[bytes], bytes] | None = None  # what becomes of git's answers on the way
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_file))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(self.host, "localhost", *names).configure_cert(self._context)
        self._server = _Server((self.host, 0), _Handler)
        self._server.git = self
        self._server.socket = self._context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def allowed_host(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def root(self) -> Path:
        return self._root

    def url(self, name: str) -> str:
        return f"https://{self.allowed_host}/{name}"

    def add(self, name: str, repository: Path, *, token: str | None = None) -> str:
        """Serve a bare repository (or a `.git`) under `name`; with `token`, only to who sends it. Returns its URL."""
        place = self._root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(repository)
        if token is not None:
            self.tokens[name] = token
        return self.url(name)

    def fail(self, name: str, fault: Fault) -> str:
        """Answer every request below `name` with the fault. Returns its URL."""
        self.faults[name] = fault
        return self.url(name)

    def stall(self, name: str) -> str:
        """Promise an answer below `name` and never send it, until the server closes. Returns its URL."""
        headers = {"Content-Type": "application/x-git-upload-pack-advertisement", "Content-Length": "100000"}
        return self.fail(name, Fault(200, headers, hold=self.released))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for event in (self.released, *self.held.values()):
            event.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    git: GitServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that hang up are part of the tests


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    _hop_headers: ClassVar[frozenset[str]] = frozenset({"status", "content-length"})

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self._read_body())

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline() not in (b"\r\n", b""):
            pass
        return bytes(body)

    def _answer(self, body: bytes) -> None:
        git = self.server.git
        path = urlsplit(self.path).path.lstrip("/")
        git.requests.append((self.command, self.path, dict(self.headers)))
        if f"/{path}" in git.exact:
            return self._send_fault(git.exact[f"/{path}"])
        for name, fault in git.faults.items():
            if path.startswith(name + "/"):
                return self._send_fault(fault)
        for name, token in git.tokens.items():
            if path.startswith(name + "/") and not self._carries(token):
                return self._send(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
        for name, event in git.held.items():
            if path.startswith(name + "/") and self.command == "POST" and b"command=fetch" in body:
                git.waiting.append(name)
                event.wait()
        return self._run_backend(body)

    def _carries(self, token: str) -> bool:
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic":
            return False
        return base64.b64decode(value).partition(b":")[2].decode() == token

    def _send_fault(self, fault: Fault) -> None:
        if fault.hold is None:
            return self._send(fault.status, fault.headers, fault.body)
        self.send_response(fault.status)
        for name, value in fault.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()
        fault.hold.wait()
        self.close_connection = True
        return None

    def _run_backend(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.server.git.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_ADDR": "127.0.0.1",
        }
        command = ["git", "http-backend"]
        result = subprocess.run(command, input=body, env=environment, capture_output=True, check=False)
        head, _, content = result.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode("latin-1").splitlines() if ": " in line)
        status = int(headers.get("Status", "200").split()[0])
        garble = self.server.git.garble
        self._send(status, headers, garble(content) if garble else content)

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in self._hop_headers:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
