import ipaddress
import socket
from typing import Any

import pytest

from domain.errors import InvalidInputError, PermanentError, ServiceUnavailableError, TransientError
from infrastructure.outbound.public_addresses import is_public_address
from infrastructure.sources.git.command import GitFailedError, end_of_output
from infrastructure.sources.git.remote import RemoteHost, explain_git_error, resolve_remote_host


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1",  # noqa: S104
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:10.0.0.1",
        "::ffff:127.0.0.1", "2002:0a00:0001::1", "64:ff9b::7f00:1", "fec0::1", "feff:ffff::1", "3fff::1", "5f00::1",
        "64:ff9b:1::7f00:1", "2001::1", "2001:db8::1", "100::1", "::7f00:1", "::ffff:0:7f00:1",
    ],
)  # fmt: skip
def test_private_address_is_not_public_even_inside_ipv6(address: str) -> None:
    assert not is_public_address(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["140.82.121.4", "2606:50c0:8000::154", "::ffff:140.82.121.4", "64:ff9b::8c52:7904"]
)
def test_public_address_is_public(address: str) -> None:
    assert is_public_address(ipaddress.ip_address(address))


class Network:
    """Replacement of DNS and of connections, which records the addresses that were tried."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *addresses: str, accepting: set[str] | None = None) -> None:
        self.tried: list[str] = []
        self._accepting = set(addresses) if accepting is None else accepting

        def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
            if not addresses:
                raise socket.gaierror(socket.EAI_NONAME, "no such name")
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        monkeypatch.setattr(socket, "create_connection", self.connect)

    def connect(self, address: tuple[str, int], timeout: float) -> socket.socket:
        self.tried.append(address[0])
        if address[0] not in self._accepting:
            raise ConnectionRefusedError
        return socket.socket()


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::1"])
def test_name_with_a_private_address_is_refused_without_a_connection(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    network = Network(monkeypatch, "140.82.121.4", address)
    with pytest.raises(InvalidInputError, match=r"private address.*github\.com:443 in GIT_ALLOWED_HOSTS"):
        resolve_remote_host("https://github.com/o/r", {"github.com"})
    assert network.tried == []


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://127.0.0.1:8443/o/r", {"127.0.0.1:8443"}),
        ("https://git.example.org:8443/o/r", {"git.example.org:8443"}),
        ("https://git.example.org/o/r", {"git.example.org", "git.example.org:443"}),
        ("https://localhost:8443/o/r", {"localhost:8443"}),
        ("https://gitlab.internal/o/r", {"gitlab.internal"}),
    ],
)
def test_operator_can_allow_a_private_host(monkeypatch: pytest.MonkeyPatch, url: str, allowed: set[str]) -> None:
    Network(monkeypatch, "10.0.0.1")
    assert str(resolve_remote_host(url, allowed).address) == "10.0.0.1"


def test_git_connects_to_the_address_that_accepted_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(monkeypatch, "2606:50c0:8000::154", "140.82.121.4", accepting={"140.82.121.4"})
    remote = resolve_remote_host("https://github.com/o/r", {"github.com"})
    assert network.tried == ["2606:50c0:8000::154", "140.82.121.4"]
    assert remote.curl_resolve_entry() == "github.com:443:140.82.121.4"
    assert RemoteHost("h", 1, ipaddress.ip_address("2606::1")).curl_resolve_entry() == "h:1:[2606::1]"


def test_unresolvable_name_and_unreachable_host_are_temporary_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    Network(monkeypatch)
    with pytest.raises(ServiceUnavailableError, match="DNS"):
        resolve_remote_host("https://github.com/o/r", {"github.com"})
    Network(monkeypatch, "140.82.121.4", accepting=set())
    with pytest.raises(ServiceUnavailableError, match="cannot be reached"):
        resolve_remote_host("https://github.com/o/r", {"github.com"})


URL = "fatal: unable to access 'https://h/o/r/': "
STATUS = URL + "The requested URL returned error: "
REMOTE = RemoteHost("git.example.org", 443, ipaddress.ip_address("140.82.121.4"))


@pytest.mark.parametrize(
    ("stderr", "kind", "message"),
    [
        ("fatal: could not read Username for 'https://h': terminal", PermanentError, "authentication required"),
        ("fatal: Authentication failed for 'https://h/o/r/'", PermanentError, "authentication required"),
        ("fatal: repository 'https://h/o/r/' not found", PermanentError, "repository not found"),
        (STATUS + "403", PermanentError, "access denied"),
        (STATUS + "302", PermanentError, "has moved"),
        (STATUS + "410", PermanentError, "repository not found"),
        (STATUS + "418", PermanentError, "answered 418"),
        (STATUS + "429", TransientError, "answered 429"),
        ("error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502", TransientError, "answered 502"),
        (URL + "SSL certificate problem: unable to get local issuer", PermanentError, "not trusted"),
        (URL + "server certificate verification failed. CAfile: x", PermanentError, "not trusted"),
        (URL + "Operation too slow. Less than 1000 bytes/sec", TransientError, "connection"),
        (URL + "OpenSSL SSL_connect: SSL_ERROR_SYSCALL", TransientError, "connection"),
        ("error: RPC failed; curl 56 Recv failure\nfatal: early EOF", TransientError, "connection"),
        ("fatal: https://h/o/r/info/refs not valid: is this a git", PermanentError, "no git repository"),
        ("fatal: protocol error: bad line length character", PermanentError, "sent an invalid repository"),
        ("fatal: Out of memory, malloc failed\nfatal: early EOF", PermanentError, "ANALYSIS_MEMORY_MB"),
    ],
)  # fmt: skip
def test_git_error_is_translated_into_an_actionable_error(stderr: str, kind: type[Exception], message: str) -> None:
    error = explain_git_error(GitFailedError(128, stderr), REMOTE, with_token=False)
    assert isinstance(error, kind)
    assert message in str(error)
    assert "\n" not in str(error)


URL_NAMED_CERTIFICATE = "fatal: unable to access 'https://h/o/certificate/': "


@pytest.mark.parametrize(
    ("stderr", "kind", "message"),
    [
        ("remote: certificate\rremote: fatal: x\nfatal: early EOF", TransientError, "connection"),
        ("remote: \x0cfatal: certificate\nfatal: early EOF", TransientError, "connection"),
        ("remote: \u2028fatal: certificate\nfatal: early EOF", TransientError, "connection"),
        ("remote: The requested URL returned error: 404\nfatal: early EOF", TransientError, "connection"),
        ("fatal: remote error: certificate", PermanentError, "refuses"),
        ("fatal: expected 'packfile', received 'x'certificate'", PermanentError, "sent an invalid repository"),
        ("fatal: expected 'x', received 'y\nfatal: certificate'", PermanentError, "sent an invalid repository"),
        (URL_NAMED_CERTIFICATE + "Could not resolve host: h", TransientError, "connection"),
        ("remote: timed out\nfatal: pack has bad object", PermanentError, "sent an invalid repository"),
        (
            "fatal: unknown object format 'x' specified by server\nfatal: the remote end hung up unexpectedly",
            PermanentError,
            "sent an invalid repository",
        ),
    ],
)
def test_words_of_the_host_do_not_choose_the_explanation(stderr: str, kind: type[Exception], message: str) -> None:
    error = explain_git_error(GitFailedError(128, stderr), REMOTE, with_token=False)
    assert isinstance(error, kind)
    assert message in str(error)


def test_rest_of_a_line_that_is_cut_does_not_look_like_a_line_of_git() -> None:
    long = b"remote: " + b"x" * 100 + b" fatal: certificate"
    for limit in range(4, len(long)):
        assert GitFailedError(128, end_of_output(long, limit).decode()).own_lines() == []
    assert end_of_output(b"short", 5) == b"short"
    assert len(end_of_output(long, 50)) == 50


def test_rejected_token_is_reported_differently_from_a_missing_one() -> None:
    failure = GitFailedError(128, "fatal: could not read Username for 'https://h': terminal prompts disabled")
    assert "does not accept the token" in str(explain_git_error(failure, REMOTE, with_token=True))


def test_killed_git_is_a_temporary_error() -> None:
    assert isinstance(explain_git_error(GitFailedError(-9, ""), REMOTE, with_token=False), TransientError)


def test_error_does_not_quote_the_host() -> None:
    failure = GitFailedError(128, "remote: your token is s3cret\nfatal: the remote end said s3cret")
    assert "s3cret" not in str(explain_git_error(failure, REMOTE, with_token=True))
