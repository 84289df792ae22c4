"""`vibe8 doctor` behind PgBouncer."""

from typing import Any

import asyncpg

from tests.fixtures.worker_process import CommandResult, System
from tests.pooler.conftest import StartPooler, database_name

DROPPED = "application_name,statement_timeout,lock_timeout,idle_in_transaction_session_timeout"


def checks(finished: CommandResult) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in finished.document}


async def test_every_check_of_the_database_passes(pooled_system: System) -> None:
    finished = await pooled_system.run("doctor", "--json")
    found = checks(finished)
    assert finished.code == 0, finished.out
    for name in ("postgresql", "schema", "clock", "snapshots", "connections", "pooler", "time-limits", "isolation"):
        assert (found[name]["ok"], found[name]["advice"]) == (True, ""), found[name]
    assert found["pooler"]["found"] == "a pooler lends transactions (DB_POOLER)"
    assert "in use" in found["connections"]["found"]
    assert found["isolation"]["found"] == "read committed"
    assert "statement_timeout 30s" in found["time-limits"]["found"]


async def test_role_without_time_limits_is_a_warning(
    start_pooler: StartPooler, pooled_system: System, database_url: str
) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(f"ALTER ROLE postgres IN DATABASE {database_name(database_url)} RESET ALL")
    await connection.close()
    url = start_pooler().url(database_name(database_url))
    finished = await pooled_system.run("doctor", "--json", DATABASE_URL=url)
    check = checks(finished)["time-limits"]
    assert (finished.code, check["ok"]) == (0, True)
    assert "statement_timeout is 0s" in check["found"]
    assert "ALTER ROLE postgres SET statement_timeout = '30s'; " in check["advice"]


async def test_parameter_that_another_client_leaves_behind_is_a_warning(
    start_pooler: StartPooler, pooled_system: System, limited_database_url: str
) -> None:
    url = start_pooler(default_pool_size=1).url(database_name(limited_database_url))
    other = await asyncpg.connect(url, statement_cache_size=0)
    await other.execute("SET lock_timeout = 0")
    await other.close()
    check = checks(await pooled_system.run("doctor", "--json", DATABASE_URL=url))["time-limits"]
    assert check["found"] == "another client of the pooler has changed lock_timeout"


async def test_pooler_that_drops_startup_parameters_is_noticed_without_the_setting(
    start_pooler: StartPooler, pooled_system: System, database_url: str
) -> None:
    pooler = start_pooler(ignore_startup_parameters=DROPPED)
    system = pooled_system.with_settings(DATABASE_URL=pooler.url(database_name(database_url)), DB_POOLER="none")
    found = checks(await system.run("doctor", "--json"))
    assert found["pooler"]["advice"].startswith("set DB_POOLER=transaction")
