"""The schema's version: bring it up, take it down, ask for it. The migrations travel with the package."""

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, NullPool
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from domain.errors import InvalidInputError
from infrastructure.database.errors import translated_errors
from infrastructure.database.tables import Base

_IN_WHEEL = Path(__file__).parent / "migrations"
_IN_CHECKOUT = Path(__file__).parents[2] / "alembic"
ADVISORY_LOCK = 0x76_69_62_65_38  # "vibe8"
"""Which of PostgreSQL's advisory locks one migrator at a time holds."""

_ONE_AT_A_TIME = threading.Lock()


def migrations_directory() -> Path:
    """Where `env.py` and `versions/` lie: inside the installed package, or at the top of a checkout."""
    return _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CHECKOUT


def head_revision() -> str:
    """The revision that this code needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise RuntimeError("there are no migrations")
    return revision


async def upgrade(url: URL, revision: str = "head") -> None:
    """Bring the schema up to the revision. Two at once are safe: the second waits, then finds nothing to do.

    Raises ServiceUnavailableError where the database cannot be reached or a table stays locked, and InvalidInputError
    for an unknown revision.
    """
    await _run(url, lambda config: command.upgrade(config, revision))


async def downgrade(url: URL, revision: str) -> None:
    """Take the schema down to the revision (`base`: to nothing). Raises as `upgrade` does."""
    await _run(url, lambda config: command.downgrade(config, revision))


async def current_revision(url: URL) -> str | None:
    """The revision that the database is at; None before the first migration. Raises as `upgrade` does."""
    async with _connection(url) as connection:
        return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())


async def schema_problem(url: URL) -> str | None:
    """Why this code cannot work on the database yet, in one line; None where it can. Raises as `upgrade` does.

    A revision that is not known here is a newer release's, and those only add to what this one needs.
    """
    revision = await current_revision(url)
    if revision is None:
        return f"PostgreSQL is not migrated: run `vibe8 migrate` (to {head_revision()})"
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision in known and revision != head_revision():
        return f"PostgreSQL's schema is at {revision}, and this version needs {head_revision()}: run `vibe8 migrate`"
    return None


async def schema_differences(url: URL) -> list[str]:
    """Where the database and `tables.py` differ, a line each; empty where they agree.

    Compares what `alembic check` compares: neither CHECK constraints nor triggers. Raises as `upgrade` does.
    """
    async with _connection(url) as connection:
        return [str(difference) for difference in await connection.run_sync(_differences)]


def _differences(connection: Connection) -> list[Any]:
    options = {"compare_type": True, "compare_server_default": True}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, Base.metadata))


def migration_engine(url: URL) -> AsyncEngine:
    """One connection, without the time limits of the worker's own."""
    settings = {"application_name": "vibe8-migrate", "timezone": "UTC"}
    return create_async_engine(url, poolclass=NullPool, connect_args={"timeout": 10, "server_settings": settings})


@asynccontextmanager
async def _connection(url: URL) -> AsyncIterator[AsyncConnection]:
    engine = migration_engine(url)
    try:
        async with translated_errors(), engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


def _config() -> Config:
    # What Alembic would print goes nowhere; a percent sign in a path must not be read as interpolation.
    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(migrations_directory()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


async def _run(url: URL, act: Callable[[Config], None]) -> None:
    await asyncio.to_thread(_run_alone, url, act)


def _run_alone(url: URL, act: Callable[[Config], None]) -> None:
    # Alembic's `context` is one per process: two migrations that take turns on a loop would use each other's.
    with _ONE_AT_A_TIME:
        asyncio.run(_run_on_connection(url, act))


async def _run_on_connection(url: URL, act: Callable[[Config], None]) -> None:
    def on_connection(connection: Connection) -> None:
        config = _config()
        config.attributes["connection"] = connection
        act(config)

    async with _connection(url) as connection:
        try:
            await connection.run_sync(on_connection)
        except CommandError as error:
            raise InvalidInputError(f"the migrations: {error}") from error
