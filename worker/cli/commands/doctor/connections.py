"""The doctor's checks of connections to PostgreSQL: their number, a pooler, time limits, isolation."""

from collections.abc import Sequence

from domain.errors import Vibe8Error
from domain.workers import WorkerInfo
from infrastructure.database.engine import Database, time_limits
from infrastructure.database.server.limits import ConnectionLimits, SessionState, connection_limits, session_state
from infrastructure.redis.queue import connect
from infrastructure.redis.worker_registry import WorkerRegistry
from infrastructure.settings import Settings
from worker.cli.commands.doctor.services import Check

OTHER_CONNECTIONS = 10
"""Connections for all but the workers: an API, commands, migrations, the autoscaler, a person with psql."""

LOCK_CONNECTIONS = 1
"""Connections of a worker beside its pool: the one that holds its session lock."""

MAX_SHARE_IN_USE = 0.9
READ_COMMITTED = "read committed"


async def check_connections(settings: Settings) -> list[Check]:
    """Check the connections. Returns nothing where PostgreSQL or Redis is away, which other checks report."""
    try:
        workers = await _workers(settings)
        database = Database.from_settings(settings, "vibe8-doctor")
        try:
            limits, state = await connection_limits(database), await session_state(database)
        finally:
            await database.close()
    except Vibe8Error:
        return []
    if settings.pools_transactions:
        number = check_connections_in_use(limits)
    else:
        each = settings.db_pool_size + settings.db_max_overflow + LOCK_CONNECTIONS
        number = check_number(limits, workers, each)
    return [
        number,
        check_pooler(state, pools_transactions=settings.pools_transactions),
        check_time_limits(state, pools_transactions=settings.pools_transactions),
        check_isolation(state),
    ]


async def _workers(settings: Settings) -> Sequence[WorkerInfo]:
    redis = await connect(settings.redis_dsn().get_secret_value())
    try:
        return await WorkerRegistry(redis).workers()
    finally:
        await redis.aclose()


def check_number(limits: ConnectionLimits, workers: Sequence[WorkerInfo], each: int) -> Check:
    """Check that all replicas can have all their connections: a warning, since they seldom need them at once."""
    replicas = len(workers)
    needed, available = replicas * each + OTHER_CONNECTIONS, limits.maximum - limits.reserved
    found = (
        f"{replicas} {'replica' if replicas == 1 else 'replicas'} of {each} and {OTHER_CONNECTIONS} others may need "
        f"{needed} of {available} connections (max_connections {limits.maximum}, {limits.reserved} kept for superusers)"
    )
    if needed <= available:
        return Check(name="connections", found=found)
    advice = (
        f"set max_connections to {needed + limits.reserved} or more, lower DB_POOL_SIZE or DB_MAX_OVERFLOW, "
        "or put PgBouncer in between (DB_POOLER)"
    )
    return Check(name="connections", found=found, advice=advice)


def check_connections_in_use(limits: ConnectionLimits) -> Check:
    """Check that PostgreSQL has connections left: how many a pooler may open is the pooler's setting."""
    available = limits.maximum - limits.reserved
    found = (
        f"{limits.used} of {available} in use (max_connections {limits.maximum}, {limits.reserved} kept for superusers)"
    )
    if limits.used <= MAX_SHARE_IN_USE * available:
        return Check(name="connections", found=found)
    advice = "lower the pooler's default_pool_size or max_db_connections, or raise max_connections"
    return Check(name="connections", found=found, advice=advice)


def check_pooler(state: SessionState, *, pools_transactions: bool) -> Check:
    """Check that DB_POOLER says what is there. A pooler that lends whole sessions works without it."""
    if state.has_pooler == pools_transactions:
        found = "a pooler lends transactions (DB_POOLER)" if pools_transactions else "none: PostgreSQL itself answers"
        return Check(name="pooler", found=found)
    if state.has_pooler:
        advice = "set DB_POOLER=transaction, unless it lends whole sessions"
        return Check(name="pooler", found="a pooler answers, and DB_POOLER is not set", advice=advice)
    advice = "unset DB_POOLER: connections are then sessions with time limits of their own"
    return Check(name="pooler", found="none: PostgreSQL itself answers, and DB_POOLER is set", advice=advice)


def check_time_limits(state: SessionState, *, pools_transactions: bool) -> Check:
    """Check the time limits of a new session: without them a lost client may hold a lock for hours."""
    missing = {name: most for name, most in time_limits().items() if not 0 < state.time_limits.get(name, 0) <= most}
    if missing:
        found = ", ".join(f"{name} is {_seconds(state.time_limits.get(name, 0))}" for name in missing)
        wanted = " ".join(f"ALTER ROLE {state.role} SET {name} = '{_seconds(most)}';" for name, most in missing.items())
        advice = f"{wanted} then let the pooler connect anew (RECONNECT)"
        if not pools_transactions:
            advice = "a pooler drops start-up parameters: set DB_POOLER=transaction"
        return Check(name="time-limits", found=found, advice=advice)
    if state.changed:
        found = f"another client of the pooler has changed {', '.join(state.changed)}"
        return Check(name="time-limits", found=found, advice="give that client a role or a pooler of its own")
    limits = ", ".join(f"{name} {_seconds(value)}" for name, value in sorted(state.time_limits.items()))
    return Check(name="time-limits", found=limits)


def check_isolation(state: SessionState) -> Check:
    """Check the isolation level: the statements of the queue rely on READ COMMITTED."""
    if state.isolation == READ_COMMITTED:
        return Check(name="isolation", found=state.isolation)
    advice = (
        f"ALTER ROLE {state.role} SET default_transaction_isolation = '{READ_COMMITTED}': "
        "the queue's statements rely on it, and fail at other levels"
    )
    return Check(name="isolation", found=state.isolation, ok=False, advice=advice)


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:g}s"
