"""Alembic's environment: runs on a connection from `infrastructure.database.migrate`, or on its own.

Each migration is a transaction of its own: indexes of large tables are built CONCURRENTLY, which no transaction may
contain. A session lock lets one migrator in at a time.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from alembic import context
from sqlalchemy import Connection, text

from domain.errors import InvalidInputError, ServiceUnavailableError
from infrastructure.database.connecting import asyncpg_url, require_session, sqlalchemy_url
from infrastructure.database.migrate import ADVISORY_LOCK, is_compared, migration_engine
from infrastructure.database.tables import Base
from infrastructure.settings import load_settings

WAIT_SECONDS = 600
POLL_SECONDS = 0.2


def run_on(connection: Connection) -> None:
    require_session(connection)
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        compare_server_default=True,
        include_object=is_compared,
        transaction_per_migration=True,
    )
    with only_migrator(connection), context.begin_transaction():
        context.run_migrations()


@contextmanager
def only_migrator(connection: Connection) -> Iterator[None]:
    """Hold the migrators' lock. Raises ServiceUnavailableError after WAIT_SECONDS.

    The lock is asked for again and again: a session that waited for it inside a statement would hold a snapshot, and
    the other migrator's CREATE INDEX CONCURRENTLY would wait for that.
    """
    give_up = time.monotonic() + WAIT_SECONDS
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": ADVISORY_LOCK}):
        connection.commit()
        if time.monotonic() > give_up:
            raise ServiceUnavailableError(f"another migration has been running for {WAIT_SECONDS} s; try again later")
        time.sleep(POLL_SECONDS)
    try:
        # A statement that waits for a table's users makes all later users of the table wait behind it.
        connection.execute(text("SET lock_timeout = '3s'"))
        connection.execute(text("SET statement_timeout = '10min'"))
        connection.commit()
        yield
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
        connection.commit()


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
