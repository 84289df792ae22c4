"""The database's URL for SQLAlchemy."""

from sqlalchemy import URL

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
