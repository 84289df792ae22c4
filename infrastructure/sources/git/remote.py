"""The git host of a clone: resolution and check of its address, and translation of git's errors."""

import ipaddress
import re
import socket
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from domain.errors import InvalidInputError, PermanentError, ServiceUnavailableError, TransientError, Vibe8Error
from infrastructure.outbound.public_addresses import IPAddress, is_public_address, parse_ip_literal
from infrastructure.sources.git.command import GitFailedError

CONNECT_TIMEOUT_SECONDS = 10.0
_INTERNAL_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")


@dataclass(frozen=True, slots=True)
class RemoteHost:
    """Host, port, and the checked IP address to which git connects."""

    host: str
    port: int
    address: IPAddress

    def curl_resolve_entry(self) -> str:
        """Return the entry for `http.curloptResolve`, so that git uses this address and makes no DNS query itself."""
        address = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{self.host}:{self.port}:{address}"


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
    is_allowed_explicitly = (
        parse_ip_literal(host) is not None or f"{host}:{port}" in allowed_hosts or _is_internal_name(host)
    )
    if not is_allowed_explicitly and not all(is_public_address(address) for address in addresses):
        raise InvalidInputError(
            f"the host {host!r} resolves to a private address, which is refused; "
            f"the operator can allow it as {host}:{port} in GIT_ALLOWED_HOSTS"
        )
    for address in addresses:
        if _accepts_connection(address, port):
            return RemoteHost(host, port, address)
    raise ServiceUnavailableError(f"the git host {host}:{port} cannot be reached")


def _resolve(host: str, port: int) -> list[IPAddress]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ServiceUnavailableError(f"the git host {host!r} cannot be resolved (DNS)") from error
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _is_internal_name(host: str) -> bool:
    return "." not in host or host.endswith(_INTERNAL_SUFFIXES)


def _accepts_connection(address: IPAddress, port: int) -> bool:
    # git has a connect timeout of five minutes for a host that drops packets.
    try:
        socket.create_connection((str(address), port), timeout=CONNECT_TIMEOUT_SECONDS).close()
    except OSError:
        return False
    return True


_HTTP_STATUS_PATTERN = re.compile(r"returned error: (\d{3})")
_QUOTED = re.compile(r"'.*'")
"""What git quotes is the URL, or the host's words."""

_REMOTE_ERROR = "fatal: remote error:"
_UNSUPPORTED = re.compile(r"fatal: (unknown object format|mismatched algorithms|.*does(n't| not) support)")
"""git adds that the host hung up, which is only a consequence."""

_GIT_MESSAGES: tuple[tuple[re.Pattern[str], type[Vibe8Error], str], ...] = (
    (
        re.compile(r"No space left on device|Disk quota exceeded"),
        TransientError,
        "the scratch space cannot be used: it is full",
    ),
    (
        re.compile(r"out of memory", re.IGNORECASE),
        PermanentError,
        "fetching takes more memory than the worker gives it (ANALYSIS_MEMORY_MB)",
    ),
    (
        re.compile(r"certificate|SSL: no alternative|CAfile|not trusted", re.IGNORECASE),
        PermanentError,
        "the TLS certificate of {where} is not trusted (GIT_CA_BUNDLE)",
    ),
    (re.compile(r"not valid|not a git repo"), PermanentError, "there is no git repository at this URL"),
)
"""Messages in the first line of git itself."""

_CONNECTION = re.compile(
    r"timed? ?out|Operation too slow|Failed to connect|Couldn't connect|Could not resolve|"
    r"Connection (reset|refused)|early EOF|hung up|RPC failed|unexpected disconnect|Empty reply|SSL_|"
    r"unexpected eof|gnutls|transfer closed|Recv failure|Send failure|HTTP/2 stream"
)


def explain_git_error(failure: GitFailedError, remote: RemoteHost, *, with_token: bool) -> Vibe8Error:
    """Translate git's failure to fetch into an error that says what to do.

    It never quotes the host's output, and no words of the host choose the explanation: only git's own lines do.
    """
    where = f"{remote.host}:{remote.port}"
    lines = failure.own_lines()
    first = lines[0] if lines else ""
    code = _http_status(first)
    if code is not None:
        return _explain_status(code, where, with_token=with_token)
    if first.startswith(_REMOTE_ERROR):
        return PermanentError(f"the git host {where} refuses to send the repository")
    unquoted = [_QUOTED.sub("''", line) for line in lines]
    for pattern, kind, message in _GIT_MESSAGES:
        if unquoted and pattern.search(unquoted[0]):
            return kind(message.format(where=where))
    if not _UNSUPPORTED.match(first) and any(map(_CONNECTION.search, unquoted)):
        return ServiceUnavailableError(f"the connection to the git host {where} failed; it may recover")
    if failure.status < 0:
        return ServiceUnavailableError(f"git was stopped by signal {-failure.status} while it fetched")
    return PermanentError(f"the git host {where} sent an invalid repository")


def _http_status(line: str) -> int | None:
    """Find the HTTP status in git's message; git reports 401 and 404 in words."""
    unquoted = _QUOTED.sub("''", line)
    if "could not read Username" in unquoted or "Authentication failed" in unquoted:
        return 401
    if "repository '' not found" in unquoted:
        return 404
    found = _HTTP_STATUS_PATTERN.search(unquoted)
    return int(found[1]) if found else None


def _explain_status(code: int, where: str, *, with_token: bool) -> Vibe8Error:
    if code == 429 or code >= 500:
        return ServiceUnavailableError(f"the git host {where} answered {code}; it may recover")
    if code == 401 and with_token:
        return PermanentError("authentication failed: the git host does not accept the token")
    reasons = {
        401: "authentication required: the repository is private or does not exist; give a token",
        403: "access denied: the git host answered 403; does the token allow reading the repository?",
        404: "repository not found: check its URL, or give a token if it is private",
        410: "repository not found: the git host answered 410, it was removed",
    }
    if 300 <= code < 400:
        return PermanentError("the repository has moved: the git host answered with a redirect; give its new URL")
    return PermanentError(reasons.get(code, f"the git host {where} answered {code}"))
