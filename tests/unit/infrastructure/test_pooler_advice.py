"""Errors of a pooler are outages, with what to do in the same line."""

import asyncpg
import pytest

from domain.errors import ServiceUnavailableError
from infrastructure.database.errors import translated_errors

SET_POOLER = "; behind a pooler set DB_POOLER=transaction"
ERRORS = [
    (asyncpg.InvalidSQLStatementNameError, 'prepared statement "s1" does not exist', SET_POOLER, ""),
    (asyncpg.DuplicatePreparedStatementError, 'prepared statement "s1" already exists', SET_POOLER, ""),
    (asyncpg.ProtocolViolationError, "bind message supplies 2 parameters", SET_POOLER, ""),
    *(
        (asyncpg.ProtocolViolationError, message, f"; {advice}", f"; {advice}")
        for message, advice in (
            ("no more connections allowed (max_client_conn)", "raise the pooler's max_client_conn"),
            ("server login failed: FATAL sorry", "the pooler cannot log in to PostgreSQL: see the pooler's log"),
            ("pgbouncer cannot connect to server", "the pooler cannot log in to PostgreSQL: see the pooler's log"),
            (
                "query_wait_timeout",
                "all connections of the pooler are in use: raise its default_pool_size",
            ),
        )
    ),
]


@pytest.mark.parametrize(("kind", "message", "without_setting", "with_setting"), ERRORS)
async def test_pooler_error_is_an_outage_with_advice(
    kind: type[asyncpg.PostgresError], message: str, without_setting: str, with_setting: str
) -> None:
    for pooled, advice in ((False, without_setting), (True, with_setting)):
        with pytest.raises(ServiceUnavailableError) as caught:
            async with translated_errors(pooled=pooled):
                raise kind(message)
        assert str(caught.value) == f"PostgreSQL: {message}{advice}"
