"""A lock that PostgreSQL holds for this process for as long as its connection lives.

PostgreSQL releases it when the connection ends: at once if the process is killed, because the kernel closes its
sockets; not while the process is stopped, and not when its machine or its network vanishes without a word.
"""

import asyncio
import hashlib
import math
import time
from contextlib import suppress
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import ServiceUnavailableError, TransientError
from infrastructure.database.engine import Database
from infrastructure.observability.log_throttle import LogThrottle
from infrastructure.settings import Settings

APPLICATION_NAME = "vibe8-worker-lock"
CHECK_SECONDS = 5.0
"""Time between two checks that PostgreSQL still holds the lock. The end of its connection is noticed without them."""

RETRY_SECONDS = 0.5

SERVER_START = "CAST(extract(epoch FROM pg_postmaster_start_time()) * 1000000 AS bigint)"
"""SQL of the server's start, in microseconds since 1970: a restarted server has lost all locks of before."""

# A lock by a bigint has its upper half in classid, its lower half in objid, and 1 in objsubid.
_HELD = """
    locktype = 'advisory' AND mode = 'ShareLock' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (CAST(classid AS bigint) << 32 | CAST(objid AS bigint)) = {key}
"""

_ACQUIRE = text(f"SELECT CASE WHEN pg_try_advisory_lock_shared(CAST(:key AS bigint)) THEN {SERVER_START} END")  # nosec B608 # no input in it
_STILL_HELD = text(f"""
    SELECT EXISTS (SELECT 1 FROM pg_locks WHERE pid = pg_backend_pid() AND {_HELD.format(key="CAST(:key AS bigint)")})
""")  # nosec B608 # noqa: S608 - no input in it

log = structlog.get_logger(__name__)


def lock_key(owner: str) -> int:
    """Return the key of the owner's lock: 64 bits of a hash, as PostgreSQL's signed bigint."""
    return int.from_bytes(hashlib.blake2b(owner.encode(), digest_size=8).digest(), signed=True)


def is_held(key: str) -> str:
    """Return the SQL that tells whether a session holds the lock; `key` is the SQL of its key.

    Whoever tests the lock by taking it takes it exclusively, and therefore does not count.
    """
    return f"EXISTS (SELECT 1 FROM pg_locks WHERE {_HELD.format(key=key)})"  # nosec B608 # noqa: S608 - no input in it


class SessionLock:
    """A shared advisory lock on a connection of its own. While the connection is lost it is not held."""

    def __init__(self, database: Database, owner: str, *, has_sessions: bool = True) -> None:
        """`database` is for this lock alone. Without sessions of its own, behind a pooler, it is never held."""
        self._database = database
        self.has_sessions = has_sessions
        """Whether it can be held at all: not behind a pooler."""
        self._key = lock_key(owner)
        self._throttle = LogThrottle()
        self._acquired = asyncio.Event()
        self.server: int | None = None
        """Start of the server that holds the lock, in microseconds since 1970; None while it is not held."""
        self.regained_at = -math.inf
        """When it was last acquired again after its connection had been lost, by the monotonic clock."""

    @classmethod
    def from_settings(cls, settings: Settings, owner: str) -> "SessionLock":
        """Return a lock with a connection of its own. It does not connect yet."""
        one_connection = settings.model_copy(update={"db_pool_size": 1, "db_max_overflow": 0})
        database = Database.from_settings(one_connection, APPLICATION_NAME)
        return cls(database, owner, has_sessions=not settings.pools_transactions)

    async def run(self) -> None:
        """Hold the lock until cancelled, and acquire it again whenever it is lost."""
        while self.has_sessions:
            try:
                await self._hold()
            except TransientError as error:
                if self._throttle.allows():
                    log.warning("session_lock.lost", reason=str(error))
            await asyncio.sleep(RETRY_SECONDS)
        await asyncio.Event().wait()

    async def first_acquired(self) -> None:
        """Wait until it was acquired for the first time, which never happens behind a pooler."""
        await self._acquired.wait()

    async def close(self) -> None:
        """Close the connection, which releases the lock."""
        await self._database.close()

    async def _hold(self) -> None:
        """Acquire the lock and return when it is lost. Raises ServiceUnavailableError."""
        async with self._database.autocommit() as connection:
            closed = await _closed_event(connection)
            self.server = await connection.scalar(_ACQUIRE, {"key": self._key})
            if self.server is None:
                return  # another session tests the lock just now
            self._note_acquired()
            try:
                while await connection.scalar(_STILL_HELD, {"key": self._key}):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(CHECK_SECONDS):
                            await closed.wait()
                            raise ServiceUnavailableError("PostgreSQL: the connection was closed")
            finally:
                self.server = None
                await connection.invalidate()

    def _note_acquired(self) -> None:
        if self._acquired.is_set():
            self.regained_at = time.monotonic()
        self._acquired.set()
        self._throttle.reset()


async def _closed_event(connection: AsyncConnection) -> asyncio.Event:
    """Return an event that is set when the connection ends."""
    closed = asyncio.Event()
    driver: Any = (await connection.get_raw_connection()).driver_connection
    driver.add_termination_listener(lambda _: closed.set())
    return closed
