"""Addresses of services: parsing of PostgreSQL and Redis URLs, and the address of the HTTP service.

No error repeats a URL, because it may contain a password.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

_DRIVERS = ("postgresql", "postgres", "postgresql+asyncpg")
_PARAMETERS: Mapping[str, str] = {
    "host": "host",
    "port": "port",
    "ssl": "ssl",
    "sslmode": "ssl",
    "application_name": "",  # dropped: the program sets its own
}
"""libpq's name of each accepted parameter, and the argument of asyncpg's `connect` (empty: dropped)."""


_DATABASE_URL_PATTERN = re.compile(
    r"""
    (?P<driver>[\w+]+)://
    (?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?
    (?:\[(?P<ipv6>[^/?]+)\]|(?P<host>[^/:?]+))?
    (?::(?P<port>[0-9]*))?
    (?:/(?P<database>[^?]*))?
    (?:\?(?P<query>.*))?
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseUrl:
    """The parts of a `postgresql://` URL; `options` are further arguments of asyncpg's `connect`."""

    user: str | None
    password: str | None = field(repr=False)
    host: str | None
    port: int | None
    database: str
    options: Mapping[str, str]


def parse_database_url(url: str) -> DatabaseUrl:
    """Parse a `postgresql://` URL; a Unix socket is given as `?host=/directory`.

    Raises ValueError with a one-line message that does not repeat the URL.
    """
    parts = _DATABASE_URL_PATTERN.fullmatch(url)
    if parts is None:
        raise ValueError("must look like postgresql://user:password@host:5432/database")
    if parts["driver"] not in _DRIVERS:
        raise ValueError("must begin with postgresql://")
    host = parts["ipv6"] or parts["host"]
    if "@" in (host or ""):
        raise ValueError("contains more than one @; percent-encode special characters of the password (@ is %40)")
    if not parts["database"]:
        raise ValueError("must name a database, as in postgresql://user:password@host:5432/database")
    query = dict(parse_qsl(parts["query"] or ""))
    if not host and "host" not in query:
        raise ValueError("must name a host, or the directory of a Unix socket as ?host=/directory")
    return DatabaseUrl(
        user=None if parts["user"] is None else unquote(parts["user"]),
        password=None if parts["password"] is None else unquote(parts["password"]),
        host=host,
        port=int(parts["port"]) if parts["port"] else None,
        database=parts["database"],
        options=_connect_options(query),
    )


def _connect_options(query: Mapping[str, str]) -> dict[str, str]:
    for name in query:
        if name not in _PARAMETERS:
            raise ValueError(
                f"has an unknown parameter{_safe_name(name)}; the known ones are {', '.join(sorted(_PARAMETERS))}"
            )
    return {_PARAMETERS[name]: value for name, value in query.items() if _PARAMETERS[name]}


def _safe_name(name: str) -> str:
    """Return the name for an error message; empty where it may be part of a misplaced password."""
    return f" {name}" if re.fullmatch(r"\w{1,40}", name) else ""


def validate_redis_url(url: str) -> None:
    """Raise ValueError with a one-line message unless this is a `redis://`, `rediss://` or `unix://` URL."""
    try:
        parts = urlsplit(url)
        if parts.scheme == "unix":
            is_valid = bool(parts.path)
        else:
            is_valid = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and (parts.port or 1) > 0
            is_valid = is_valid and re.fullmatch(r"/?\d*", parts.path) is not None
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValueError("must look like redis://:password@host:6379/0")


def http_address(host: str, port: int) -> str:
    """Return the address at which a browser of this machine reaches a service that listens on `host`."""
    name = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # noqa: S104 - compared # nosec B104
    return f"http://{name}:{port}"
