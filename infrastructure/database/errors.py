"""Translation of database errors into `domain.errors`. Nothing else translates them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from domain.errors import ServiceUnavailableError, Vibe8Error
from domain.text import one_line

_RETRYABLE = (
    "08",  # connection exceptions
    "25006",  # read-only: a standby, also a primary that a failover has replaced
    "28",  # wrong user or password
    "3D",  # no such database
    "42501",  # permission denied: the role is not the one that migrates
    "40",  # deadlock, serialization failure
    "53",  # disk full, out of memory, too many connections
    "55P03",  # lock timeout
    "57",  # shutdown, startup, statement timeout
    "58",  # an error of the operating system
)
_SHARED_SESSION = (
    "26000",  # the prepared statement is on another of the pooler's connections
    "42P05",  # another client has prepared a statement of this name
    "08P01",  # refused start-up parameter, wrong number of parameters, and most errors of PgBouncer itself
)
_NO_SERVER = "the pooler cannot log in to PostgreSQL: see the pooler's log"
_POOLER_ADVICE = (
    ("no more connections allowed", "raise the pooler's max_client_conn"),
    ("query_wait_timeout", "all connections of the pooler are in use: raise its default_pool_size"),
    ("server login", _NO_SERVER),
    ("cannot connect to server", _NO_SERVER),
)
"""Words of PgBouncer's own errors, and what to do."""

_SERVER_ADVICE = {
    "25006": "it is read-only, as after a failover: DATABASE_URL must lead to the primary",
    "53100": "free space on the server's disk",
    "53200": "give the server more memory, or lower its work_mem",
    "53300": "raise max_connections, or put a pooler before the server (DB_POOLER)",
}

_SET_POOLER = "behind a pooler set DB_POOLER=transaction"
_NO_SCHEMA = ("42P01", "42703", "42883")  # no such table, column, function


@asynccontextmanager
async def translated_errors(*, pooled: bool = False) -> AsyncIterator[None]:
    """Raise ServiceUnavailableError in one line if the database is unreachable, busy or not migrated.

    `pooled`: DB_POOLER is set, so its absence is no explanation. The message contains no SQL and no parameter. A bug of
    this program, such as a violated CHECK, passes unchanged.
    """
    try:
        yield
    except Vibe8Error:
        raise
    except PoolTimeoutError as error:
        raise ServiceUnavailableError("PostgreSQL: all connections of this process are in use") from error
    except DBAPIError as error:
        raise _translate(error, pooled=pooled) from error
    except asyncpg.PostgresError as error:  # while connecting
        raise _translate_code(error.sqlstate, _without_hint(error), pooled=pooled) or error from error
    except (TimeoutError, asyncpg.InterfaceError) as error:
        raise ServiceUnavailableError(f"PostgreSQL did not answer: {one_line(str(error)) or 'timed out'}") from error
    except OSError as error:
        raise ServiceUnavailableError(f"PostgreSQL cannot be reached: {_reason(error)}") from error


def _translate(error: DBAPIError, *, pooled: bool) -> Exception:
    original = error.orig.__cause__ if error.orig is not None else None
    code = getattr(error.orig, "sqlstate", None)
    message = _without_hint(original or error.orig)
    if error.connection_invalidated or (code is None and isinstance(original, asyncpg.InterfaceError | OSError)):
        fault = f"PostgreSQL: the connection was lost: {one_line(message, 200)}"
        return ServiceUnavailableError(fault, advice=_advice(code, message, pooled=pooled))
    return _translate_code(code, message, pooled=pooled) or error


def _translate_code(code: str | None, message: str, *, pooled: bool) -> Exception | None:
    if code in _NO_SCHEMA:
        return ServiceUnavailableError(f"PostgreSQL is not migrated: run `vibe8 migrate` ({one_line(message, 120)})")
    if code is not None and code.startswith((*_RETRYABLE, *_SHARED_SESSION)):
        advice = _advice(code, message, pooled=pooled)
        return ServiceUnavailableError(f"PostgreSQL: {one_line(message, 200)}", advice=advice)
    return None


def _without_hint(error: BaseException | None) -> str:
    """Return the error's text without the driver's hint: about poolers it has several lines of its own."""
    return str(error).partition("\nHINT:")[0]


def _advice(code: str | None, message: str, *, pooled: bool) -> str:
    """Return what to do about a server that is full or read-only, or about a pooler; empty for others."""
    for words, advice in _POOLER_ADVICE:
        if words in message:
            return advice
    if code in _SERVER_ADVICE:
        return _SERVER_ADVICE[code]
    return _SET_POOLER if code in _SHARED_SESSION and not pooled else ""


def _reason(error: OSError) -> str:
    return one_line(error.strerror or str(error), 200)
