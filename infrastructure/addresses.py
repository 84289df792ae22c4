"""Reading the addresses of PostgreSQL and Redis. No error repeats the address: it may hold a password."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

_DRIVERS = ("postgresql", "postgres", "postgresql+asyncpg")
_PARAMETERS: Mapping[str, str] = {
    "host": "host",
    "port": "port",
    "ssl": "ssl",
    "sslmode": "ssl",
    "application_name": "",  # ours to set
}
"""What libpq calls a parameter, and what asyncpg's `connect` does (empty: dropped)."""


def asyncpg_url(address: str) -> URL:
    """The SQLAlchemy URL, over asyncpg, of a `postgresql://` address; Unix sockets as `?host=/directory`.

    Raises ValueError with one line.
    """
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise ValueError("must look like postgresql://user:password@host:5432/database") from None
    if url.drivername not in _DRIVERS:
        raise ValueError("must begin with postgresql://")
    if "@" in (url.host or ""):
        raise ValueError("holds more than one @; write the password's special characters as %40 and the like")
    if not url.database:
        raise ValueError("must name a database, as in postgresql://user:password@host:5432/database")
    if not url.host and "host" not in url.query:
        raise ValueError("must name a host, or a socket's directory as ?host=/directory")
    return url.set(drivername="postgresql+asyncpg", query=_asyncpg_query(url))


def _asyncpg_query(url: URL) -> dict[str, str]:
    for name in url.query:
        if name not in _PARAMETERS:
            raise ValueError(f"knows no parameter {_word(name)}; it may have {', '.join(sorted(_PARAMETERS))}")
    return {
        _PARAMETERS[name]: value if isinstance(value, str) else value[-1]
        for name, value in url.query.items()
        if _PARAMETERS[name]
    }


def redis_address(address: str) -> None:
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
