"""Alembic's environment: runs on a connection from `infrastructure.database.migrate`, or on its own.

All migrations of one call run in one transaction, under an advisory lock that only one process at a time can hold.
"""

import asyncio

from alembic import context
from sqlalchemy import Connection, text

from domain.errors import InvalidInputError
from infrastructure.database.migrate import ADVISORY_LOCK, migration_engine
from infrastructure.database.tables import Base
from infrastructure.database.urls import asyncpg_url, sqlalchemy_url
from infrastructure.settings import load_settings


def run_on(connection: Connection) -> None:
    context.configure(
        connection=connection, target_metadata=Base.metadata, compare_type=True, compare_server_default=True
    )
    with context.begin_transaction():
        # The advisory lock may take as long as another process's migrations. A table lock may not: while it waits, it
        # blocks all later queries of the table.
        connection.execute(text("SET LOCAL lock_timeout = '10min'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        connection.execute(text("SET LOCAL lock_timeout = '3s'"))
        connection.execute(text("SET LOCAL statement_timeout = '10min'"))
        context.run_migrations()


async def run_on_own_connection() -> None:
    named = context.get_x_argument(as_dictionary=True).get("url")
    engine = migration_engine(asyncpg_url(str(named)) if named else sqlalchemy_url(load_settings()))
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run_on)
    finally:
        await engine.dispose()


if context.is_offline_mode():
    raise InvalidInputError("migrations run against a database; there is no offline mode")
given = context.config.attributes.get("connection")
if given is None:
    asyncio.run(run_on_own_connection())
else:
    run_on(given)
