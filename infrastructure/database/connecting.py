"""How this program connects to the database: the URL for SQLAlchemy, and the arguments of new connections.

They go to PostgreSQL itself, or to a pooler that lends its own connections for one transaction each.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, Connection, text

from domain.errors import InvalidInputError
from infrastructure.service_urls import parse_database_url
from infrastructure.settings import Settings


def asyncpg_url(address: str) -> URL:
    """Return the SQLAlchemy URL, with driver asyncpg, of a `postgresql://` address. Raises ValueError in one line."""
    parts = parse_database_url(address)
    return URL.create(
        "postgresql+asyncpg",
        username=parts.user,
        password=parts.password,
        host=parts.host,
        port=parts.port,
        database=parts.database,
        query=parts.options,
    )


def sqlalchemy_url(settings: Settings) -> URL:
    """Return the URL of PostgreSQL; its `str()` hides the password.

    Raises ServiceUnavailableError if the settings name no database.
    """
    return asyncpg_url(settings.postgresql_dsn().get_secret_value())


def _no_name() -> str:
    return ""


NO_PREPARED_STATEMENTS: Mapping[str, Any] = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": _no_name,
}
"""Neither asyncpg nor SQLAlchemy keeps a prepared statement, and none has a name that another client could use."""

NEEDS_SESSION = (
    "migrations need a session of their own, and a pooler is in between: run `vibe8 migrate` with PostgreSQL's own "
    "address in DATABASE_URL, and without DB_POOLER"
)


def connect_arguments(name: str, parameters: Mapping[str, str], *, pooled: bool) -> dict[str, Any]:
    """Return the arguments of asyncpg's `connect`, for a session with this name, UTC and these parameters.

    A pooler refuses start-up parameters or drops them, so with `pooled` there are none.
    """
    if pooled:
        return dict(NO_PREPARED_STATEMENTS)
    return {"server_settings": {"application_name": name, "timezone": "UTC", **parameters}}


def require_session(connection: Connection) -> None:
    """Raise InvalidInputError if a pooler is between this program and PostgreSQL.

    A pooler answers a new connection with a process id of its own making.
    """
    driver: Any = connection.connection.driver_connection
    if connection.scalar(text("SELECT pg_backend_pid()")) != driver.get_server_pid():
        raise InvalidInputError(NEEDS_SESSION)
    connection.commit()
