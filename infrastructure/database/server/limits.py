"""What PostgreSQL allows this role: connections, time limits and isolation; and whether a pooler is in between."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from infrastructure.database.engine import Database, time_limits

# Each session sees that all others exist, but needs pg_read_all_stats to see more of those of other roles.
_CONNECTIONS = text("""
    SELECT current_setting('max_connections')::int AS maximum,
        current_setting('superuser_reserved_connections')::int
            + coalesce(current_setting('reserved_connections', true)::int, 0) AS reserved,
        (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used
""")
# `reset_val` is what the role has in a new session; `setting` may be what another client of a pooler left behind.
_TIME_LIMITS = text("SELECT name, setting, reset_val FROM pg_settings WHERE name = ANY(:names)")
_SESSION = text("""
    SELECT current_setting('transaction_isolation') AS isolation, quote_ident(current_user) AS role,
        pg_backend_pid() AS pid
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Connections to the server: how many it has, keeps for superusers, and serves now."""

    maximum: int
    reserved: int
    used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionState:
    """What a transaction of this program runs with."""

    has_pooler: bool
    """Whether a pooler is between this program and PostgreSQL."""
    role: str
    """The role's name, quoted as an identifier where it must be."""
    isolation: str
    time_limits: Mapping[str, int]
    """The parameters of `engine.time_limits` as the role has them in a new session, in ms; 0 is no limit."""
    changed: tuple[str, ...]
    """Those of them that this session has with other values: another client has set them."""


async def connection_limits(database: Database) -> ConnectionLimits:
    """Return the server's limits. Raises ServiceUnavailableError."""
    async with database.unit_of_work() as work:
        row = (await work.execute(_CONNECTIONS)).one()
    return ConnectionLimits(maximum=row.maximum, reserved=row.reserved, used=row.used)


async def session_state(database: Database) -> SessionState:
    """Return what a transaction runs with. Raises ServiceUnavailableError."""
    async with database.unit_of_work() as work:
        rows = (await work.execute(_TIME_LIMITS, {"names": list(time_limits())})).all()
        session = (await work.execute(_SESSION)).one()
        driver: Any = (await work.get_raw_connection()).driver_connection
    return SessionState(
        has_pooler=session.pid != driver.get_server_pid(),
        role=session.role,
        isolation=session.isolation,
        time_limits={row.name: int(row.reset_val) for row in rows},
        changed=tuple(sorted(row.name for row in rows if row.setting != row.reset_val)),
    )
