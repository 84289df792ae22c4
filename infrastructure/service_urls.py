"""Reading the addresses of PostgreSQL and Redis. No error repeats the address: it may hold a password."""

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
    "application_name": "",  # ours to set
}
"""What libpq calls a parameter, and what asyncpg's `connect` does (empty: dropped)."""


_ADDRESS = re.compile(
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
    """The parts of a `postgresql://` address; `options` are what asyncpg's `connect` is to be told beyond them."""

    user: str | None
    password: str | None = field(repr=False)
    host: str | None
    port: int | None
    database: str
    options: Mapping[str, str]


def parse_database_url(address: str) -> DatabaseUrl:
    """Take a `postgresql://` address apart; Unix sockets as `?host=/directory`. Raises ValueError with one line."""
    parts = _ADDRESS.fullmatch(address)
    if parts is None:
        raise ValueError("must look like postgresql://user:password@host:5432/database")
    if parts["driver"] not in _DRIVERS:
        raise ValueError("must begin with postgresql://")
    host = parts["ipv6"] or parts["host"]
    if "@" in (host or ""):
        raise ValueError("holds more than one @; write the password's special characters as %40 and the like")
    if not parts["database"]:
        raise ValueError("must name a database, as in postgresql://user:password@host:5432/database")
    query = dict(parse_qsl(parts["query"] or ""))
    if not host and "host" not in query:
        raise ValueError("must name a host, or a socket's directory as ?host=/directory")
    return DatabaseUrl(
        user=None if parts["user"] is None else unquote(parts["user"]),
        password=None if parts["password"] is None else unquote(parts["password"]),
        host=host,
        port=int(parts["port"]) if parts["port"] else None,
        database=parts["database"],
        options=_options(query),
    )


def _options(query: Mapping[str, str]) -> dict[str, str]:
    for name in query:
        if name not in _PARAMETERS:
            raise ValueError(f"knows no parameter {_word(name)}; it may have {', '.join(sorted(_PARAMETERS))}")
    return {_PARAMETERS[name]: value for name, value in query.items() if _PARAMETERS[name]}


def validate_redis_url(address: str) -> None:
    """Raise ValueError, with one line, unless this is a `redis://`, `rediss://` or `unix://` address."""
    try:
        parts = urlsplit(address)
        if parts.scheme == "unix":
            complete = bool(parts.path)
        else:
            complete = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and (parts.port or 1) > 0
            complete = complete and re.fullmatch(r"/?\d*", parts.path) is not None
    except ValueError:
        complete = False
    if not complete:
        raise ValueError("must look like redis://:password@host:6379/0")


def _word(text: str) -> str:
    return text if re.fullmatch(r"\w{1,40}", text) else "of that name"
