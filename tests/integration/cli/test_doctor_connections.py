"""The doctor's checks of connections: their number, a pooler, time limits, isolation."""

from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from domain.workers import READY, WorkerInfo
from infrastructure.database.engine import time_limits
from infrastructure.database.server.limits import ConnectionLimits, SessionState
from infrastructure.redis.worker_registry import WorkerRegistry
from tests.fixtures.worker_process import System
from tests.integration.cli.test_doctor import check_named, doctor
from worker.cli.commands.doctor.connections import (
    check_connections_in_use,
    check_isolation,
    check_pooler,
    check_time_limits,
)


async def register(redis: Redis, count: int) -> None:
    for number in range(count):
        worker = WorkerInfo(
            replica_id=f"w{number}",
            host="h",
            pid=number,
            version="1",
            started_at=1.0,
            seen_at=1.0,
            slots=4,
            state=READY,
            jobs=(),
        )
        await WorkerRegistry(redis).register(worker)


async def test_connections_of_all_registered_replicas_are_counted(cli: System, redis: Redis) -> None:
    await register(redis, 11)
    finished = await doctor(cli)
    check = check_named(finished, "connections")
    words = "11 replicas of 16 and 10 others may need 186 of 197 connections (max_connections 200, 3 kept"
    assert (finished.code, check["ok"], check["advice"]) == (0, True, "")
    assert words in check["found"]
    await register(redis, 12)
    check = check_named(await doctor(cli), "connections")
    assert (check["ok"], "12 replicas of 16 and 10 others may need 202 of 197" in check["found"]) == (True, True)
    assert "set max_connections to 205 or more" in check["advice"]
    assert check_named(await doctor(cli, DB_MAX_OVERFLOW="9"), "connections")["advice"] == ""


async def test_other_isolation_level_of_the_database_fails(cli: System, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    await connection.close()
    finished = await doctor(cli)
    check = check_named(finished, "isolation")
    assert (finished.code, check["ok"], check["found"]) == (1, False, "serializable")
    assert "ALTER ROLE postgres SET default_transaction_isolation = 'read committed'" in check["advice"]


async def test_setting_without_a_pooler_is_a_warning(cli: System) -> None:
    finished = await doctor(cli, DB_POOLER="transaction")
    assert finished.code == 0
    assert "unset DB_POOLER" in check_named(finished, "pooler")["advice"]
    check = check_named(finished, "time-limits")
    assert check["ok"]
    for name, value in (("statement_timeout", "30s"), ("idle_in_transaction_session_timeout", "60s")):
        assert f"{name} is 0s" in check["found"]
        assert f"ALTER ROLE postgres SET {name} = '{value}';" in check["advice"]


def limits(**changes: int) -> ConnectionLimits:
    return ConnectionLimits(**{"maximum": 100, "reserved": 3, "used": 20, **changes})


def state(**changes: object) -> SessionState:
    found = {"has_pooler": False, "role": "vibe8", "isolation": "read committed", "time_limits": time_limits()}
    return SessionState(**{**found, "changed": (), **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("used", "warns"), [(20, False), (87, False), (88, True)])
def test_few_free_connections_behind_a_pooler_are_a_warning(used: int, warns: bool) -> None:
    check = check_connections_in_use(limits(used=used))
    assert (check.ok, bool(check.advice)) == (True, warns)
    assert f"{used} of 97 in use" in check.found


@pytest.mark.parametrize(
    ("has_pooler", "pools_transactions", "advice"),
    [
        (False, False, ""),
        (True, True, ""),
        (True, False, "set DB_POOLER=transaction"),
        (False, True, "unset DB_POOLER"),
    ],
)
def test_setting_that_differs_from_what_is_there_is_a_warning(
    has_pooler: bool, pools_transactions: bool, advice: str
) -> None:
    check = check_pooler(state(has_pooler=has_pooler), pools_transactions=pools_transactions)
    assert check.ok
    assert check.advice.startswith(advice)
    assert bool(check.advice) == bool(advice)


@pytest.mark.parametrize(("value", "fine"), [(0, False), (1, True), (30_000, True), (30_001, False)])
def test_missing_or_longer_time_limit_is_a_warning(value: int, fine: bool) -> None:
    found = state(time_limits={**time_limits(), "statement_timeout": value})
    pooled = check_time_limits(found, pools_transactions=True)
    assert (pooled.ok, pooled.advice == "") == (True, fine)
    assert fine or "ALTER ROLE vibe8 SET statement_timeout = '30s'; then" in pooled.advice
    direct = check_time_limits(found, pools_transactions=False)
    assert fine or direct.advice == "a pooler drops start-up parameters: set DB_POOLER=transaction"


def test_time_limit_that_another_client_has_changed_is_a_warning() -> None:
    check = check_time_limits(state(changed=("lock_timeout",)), pools_transactions=True)
    assert (check.ok, check.found) == (True, "another client of the pooler has changed lock_timeout")
    assert check.advice


def test_isolation_level_other_than_read_committed_fails() -> None:
    assert check_isolation(state()).ok
    assert not check_isolation(state(isolation="repeatable read")).ok


def test_page_names_the_statements_that_set_the_limits() -> None:
    page = (Path(__file__).parents[3] / "docs/operations.md").read_text()
    missing = check_time_limits(state(time_limits={}), pools_transactions=True)
    statements = [part.strip() for part in missing.advice.split(";")[:-1]]
    assert len(statements) == 3
    for statement in statements:
        assert f"{statement};" in page
