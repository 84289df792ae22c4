"""Git host on loopback for a demonstration: `git http-backend` behind TLS with a certificate of its own."""

import ipaddress
import os
import ssl
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ADDRESS = "127.0.0.1"
VALID_DAYS = 1
MAX_BODY = 1 << 20
"""Bytes of a request of a client that fetches."""


class GitHost:
    """Serves the bare repositories below a directory, for reading, while the block runs."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "repositories"
        self.root.mkdir(parents=True)
        self.ca_file = directory / "certificate.pem"
        _write_certificate(self.ca_file)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca_file)
        self._server = _Server((ADDRESS, 0), _Handler)
        self._server.root = self.root
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1})

    @property
    def address(self) -> str:
        """Host and port, as GIT_ALLOWED_HOSTS takes them."""
        return f"{ADDRESS}:{self._server.server_address[1]}"

    def url(self, name: str) -> str:
        """Return the URL of the repository that stands at this path below `root`."""
        return f"https://{self.address}/{name}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _write_certificate(file: Path) -> None:
    """Write a key and a certificate that it has signed itself, which clients trust as their authority too."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vibe8 demonstration")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(days=VALID_DAYS),
        not_valid_after=now + timedelta(days=VALID_DAYS),
    )
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(ADDRESS))])
    builder = builder.add_extension(alternative, critical=False)
    certificate = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    signed = certificate.sign(key, hashes.SHA256())
    file.touch(mode=0o600)
    file.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    root: Path

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a client may end the connection."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class names it so
        """Print nothing."""

    def do_GET(self) -> None:
        """Answer the listing of refs."""
        self._answer(b"")

    def do_POST(self) -> None:
        """Answer a fetch."""
        size = int(self.headers.get("Content-Length", 0))
        if not 0 <= size <= MAX_BODY:
            self.send_error(413)
            return
        self._answer(self.rfile.read(size))

    def _answer(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=False)  # nosec B607 # noqa: S607 - on the PATH
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode("latin-1").splitlines() if ": " in line)
        self.send_response(int(headers.pop("Status", "200").split()[0]) if done.stdout else 500)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def can_serve() -> bool:
    """Return whether git is here with its HTTP backend, which some packages leave out."""
    try:
        done = subprocess.run(["git", "--exec-path"], capture_output=True, check=False)  # nosec B607 # noqa: S607 - on the PATH
    except FileNotFoundError:
        return False
    return (Path(os.fsdecode(done.stdout.strip())) / "git-http-backend").exists()
