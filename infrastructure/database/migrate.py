"""Migrations of the schema: upgrade, downgrade, current revision, differences. The package contains the migrations."""

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
from infrastructure.database.connecting import NO_PREPARED_STATEMENTS, connect_arguments
from infrastructure.database.errors import translated_errors
from infrastructure.database.tables import AuditLogRow, Base

_IN_WHEEL = Path(__file__).parent / "migrations"
_IN_CHECKOUT = Path(__file__).parents[2] / "alembic"
ADVISORY_LOCK = 0x76_69_62_65_38  # "vibe8"
"""Key of PostgreSQL's advisory lock that a migration holds, so that only one runs at a time."""

PARTITIONS = f"{AuditLogRow.__tablename__}_"
"""How the names of partitions start. The database makes them, and no migration knows them."""

_ALEMBIC_LOCK = threading.Lock()


def migrations_directory() -> Path:
    """Return the directory of `env.py` and `versions/`: in the installed package, or at the top of a checkout."""
    return _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CHECKOUT


def head_revision() -> str:
    """Return the revision that this code needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise RuntimeError("there are no migrations")
    return revision


async def upgrade(url: URL, revision: str = "head") -> None:
    """Upgrade the schema to the revision. Of two concurrent upgrades the second waits, then has nothing to do.

    Raises ServiceUnavailableError if the database cannot be reached or a table stays locked, and InvalidInputError for
    an unknown revision, and where a pooler is between this program and PostgreSQL.
    """
    await _run(url, lambda config: command.upgrade(config, revision))


async def downgrade(url: URL, revision: str) -> None:
    """Downgrade the schema to the revision; `base` removes everything. Raises what `upgrade` raises."""
    await _run(url, lambda config: command.downgrade(config, revision))


async def current_revision(url: URL, *, pooled: bool = False) -> str | None:
    """Return the revision of the database; None before the first migration. Raises what `upgrade` raises.

    It needs no session, so with `pooled` it works through a pooler.
    """
    async with _connection(url, pooled=pooled) as connection:
        return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())


async def schema_problem(url: URL, *, pooled: bool = False) -> str | None:
    """Return why this code cannot use the database's schema, in one line; None if it can. Raises what `upgrade` raises.

    An unknown revision belongs to a newer release, whose schema contains everything that this code needs. With `pooled`
    it works through a pooler.
    """
    revision = await current_revision(url, pooled=pooled)
    if revision is None:
        return f"PostgreSQL is not migrated: run `vibe8 migrate` (to {head_revision()})"
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision in known and revision != head_revision():
        return f"PostgreSQL's schema is at {revision}, and this version needs {head_revision()}: run `vibe8 migrate`"
    return None


async def schema_differences(url: URL) -> list[str]:
    """Return the differences between the database and `tables.py`, one line each.

    It compares what `alembic check` compares, which excludes CHECK constraints and triggers. Raises what `upgrade`
    raises.
    """
    async with _connection(url) as connection:
        return [str(difference) for difference in await connection.run_sync(_differences)]


def is_compared(_object: Any, name: str | None, kind: str, _reflected: bool, _compared: Any) -> bool:  # noqa: FBT001 - alembic's
    """Whether alembic compares this object of the database with `tables.py`: all but the partitions of a table."""
    return not (kind == "table" and name is not None and name.startswith(PARTITIONS))


def _differences(connection: Connection) -> list[Any]:
    options = {"compare_type": True, "compare_server_default": True, "include_object": is_compared}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, Base.metadata))


def migration_engine(url: URL, *, pooled: bool = False) -> AsyncEngine:
    """Return an engine without a pool and without the worker's time limits."""
    arguments = {"timeout": 10, **NO_PREPARED_STATEMENTS, **connect_arguments("vibe8-migrate", {}, pooled=pooled)}
    return create_async_engine(url, poolclass=NullPool, connect_args=arguments)


@asynccontextmanager
async def _connection(url: URL, *, pooled: bool = False) -> AsyncIterator[AsyncConnection]:
    engine = migration_engine(url, pooled=pooled)
    try:
        async with translated_errors(pooled=pooled), engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


def _config() -> Config:
    # Alembic's output is discarded. A percent sign in the path is escaped, as the configuration interpolates it.
    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(migrations_directory()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


async def _run(url: URL, run_command: Callable[[Config], None]) -> None:
    await asyncio.to_thread(_run_alone, url, run_command)


def _run_alone(url: URL, run_command: Callable[[Config], None]) -> None:
    # Alembic's `context` is global to the process, so two migrations must not overlap, not even on one event loop.
    with _ALEMBIC_LOCK:
        asyncio.run(_run_on_connection(url, run_command))


async def _run_on_connection(url: URL, run_command: Callable[[Config], None]) -> None:
    def on_connection(connection: Connection) -> None:
        config = _config()
        config.attributes["connection"] = connection
        run_command(config)

    async with _connection(url) as connection:
        try:
            await connection.run_sync(on_connection)
        except CommandError as error:
            raise InvalidInputError(f"migration failed: {error}") from error
