"""The other end of a clone: which address it may be, and what its refusals mean."""

import ipaddress
import re
import socket
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from domain.errors import InvalidInputError, PermanentError, ServiceUnavailableError, TransientError, Vibe8Error
from infrastructure.outbound.public_addresses import IPAddress, is_public_address, parse_ip_literal
from infrastructure.sources.git.command import GitFailedError

CONNECT_SECONDS = 10.0
_INSIDE_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")


@dataclass(frozen=True, slots=True)
class RemoteHost:
    """A host and port, and the one judged address that git will speak to."""

    host: str
    port: int
    address: IPAddress

    def curl_resolve_entry(self) -> str:
        """For `http.curloptResolve`: git's own look-up never happens, so that DNS cannot change its mind."""
        shown = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{self.host}:{self.port}:{shown}"


def resolve_remote_host(url: str, allowed_hosts: Collection[str]) -> RemoteHost:
    """Resolve the host of a URL, check its addresses, and return the first one that accepts a connection.

    `url` comes from `domain.sources.normalize_repository_url`. Every address must be public, unless the operator allows
    the host explicitly: as an IP address, as `host:port` with the port written out, or by a name that only resolves
    inside a network (`localhost`, `*.internal`).

    Raises InvalidInputError for a private address, ServiceUnavailableError where no address accepts a connection.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    addresses = _resolve(host, port)
    vouched = parse_ip_literal(host) is not None or f"{host}:{port}" in allowed_hosts or _is_inside(host)
    if not vouched and not all(is_public_address(address) for address in addresses):
        raise InvalidInputError(
            f"the host {host!r} leads to a private address, which is refused; "
            f"its operator can allow it as {host}:{port} in GIT_ALLOWED_HOSTS"
        )
    for address in addresses:
        if _answers(address, port):
            return RemoteHost(host, port, address)
    raise ServiceUnavailableError(f"the git host {host}:{port} cannot be reached")


def _resolve(host: str, port: int) -> list[IPAddress]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ServiceUnavailableError(f"the git host {host!r} cannot be found (DNS)") from error
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _is_inside(host: str) -> bool:
    return "." not in host or host.endswith(_INSIDE_SUFFIXES)


def _answers(address: IPAddress, port: int) -> bool:
    # git itself would wait five minutes for a host that drops packets.
    try:
        socket.create_connection((str(address), port), timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


_STATUS = re.compile(r"returned error: (\d{3})")
_WORDS: tuple[tuple[re.Pattern[str], type[Vibe8Error], str], ...] = (
    (
        # git's own lines: what the other end says is marked as that.
        re.compile(r"^(?!remote:).*(No space left on device|Disk quota exceeded)", re.MULTILINE),
        TransientError,
        "the scratch space cannot be used: it is full",
    ),
    (
        re.compile(r"certificate|SSL: no alternative|CAfile|not trusted", re.IGNORECASE),
        PermanentError,
        "the TLS certificate of {where} is not trusted (GIT_CA_BUNDLE)",
    ),
    (
        re.compile(
            r"timed? ?out|Operation too slow|Failed to connect|Couldn't connect|Could not resolve|"
            r"Connection (reset|refused)|early EOF|hung up|RPC failed|unexpected disconnect|Empty reply|SSL_|"
            r"unexpected eof|gnutls|transfer closed|Recv failure|Send failure|HTTP/2 stream"
        ),
        ServiceUnavailableError,
        "the connection to the git host {where} failed; it may recover",
    ),
    (re.compile(r"not valid|not a git repo"), PermanentError, "there is no git repository at this URL"),
)


def explain_git_error(failure: GitFailedError, place: RemoteHost, *, with_token: bool) -> Vibe8Error:
    """What git's refusal to fetch means, as an error whose reader can act. Never quotes the other end."""
    where = f"{place.host}:{place.port}"
    code = _status(failure.stderr)
    if code is not None:
        return _explain_status(code, where, with_token=with_token)
    for pattern, kind, message in _WORDS:
        if pattern.search(failure.stderr):
            return kind(message.format(where=where))
    if failure.status < 0:
        return ServiceUnavailableError(f"git was stopped by signal {-failure.status} while it fetched")
    return PermanentError(f"what the git host {where} sent is not a valid repository")


def _status(said: str) -> int | None:
    """The HTTP status behind git's words; for 401 and 404 it has words of its own."""
    if "could not read Username" in said or "Authentication failed" in said:
        return 401
    if re.search(r"repository '.*' not found", said):
        return 404
    status = _STATUS.search(said)
    return int(status[1]) if status else None


def _explain_status(code: int, where: str, *, with_token: bool) -> Vibe8Error:
    if code == 429 or code >= 500:
        return ServiceUnavailableError(f"the git host {where} answered {code}; it may recover")
    if code == 401 and with_token:
        return PermanentError("authentication failed: the git host does not accept the token")
    reasons = {
        401: "authentication required: the repository is private or does not exist; give a token",
        403: "access denied: the git host answered 403; does the token allow reading the repository?",
        404: "repository not found: check its URL, or give a token if it is private",
        410: "repository not found: the git host says that it has gone",
    }
    if 300 <= code < 400:
        return PermanentError("the repository has moved: the git host answered with a redirect; give its new URL")
    return PermanentError(reasons.get(code, f"the git host {where} answered {code}"))
