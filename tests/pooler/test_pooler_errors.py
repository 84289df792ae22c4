"""What PgBouncer refuses is an outage, told in one line that says what to do."""

import asyncio

import asyncpg
import pytest
from sqlalchemy import text

from domain.errors import ServiceUnavailableError
from infrastructure.database.connecting import asyncpg_url
from infrastructure.database.engine import Database, create_engine
from tests.fixtures.servers import Servers
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System
from tests.pooler.conftest import StartPooler, database_name, open_pooled

ADVICE = "behind a pooler set DB_POOLER=transaction"


@pytest.fixture
def unset_system(pooled_system: System) -> System:
    """The system behind the PgBouncer, without the setting."""
    return pooled_system.with_settings(DB_POOLER="none")


async def test_commands_without_the_setting_name_it_in_one_line(unset_system: System) -> None:
    for arguments in (("jobs", "--user", "ann@example.org"), ("cleanup",)):
        refused = await unset_system.run(*arguments)
        assert (refused.code, refused.out, len(refused.error.splitlines())) == (3, "", 1), refused.error
        assert "unsupported startup parameter" in refused.error
        assert ADVICE in refused.error


async def test_doctor_without_the_setting_names_it(unset_system: System) -> None:
    finished = await unset_system.run("doctor", "--json")
    (check,) = [check for check in finished.document if check["name"] == "postgresql"]
    assert (finished.code, check["ok"], check["unreachable"]) == (3, False, True)
    assert ADVICE in check["found"]


async def test_worker_without_the_setting_ends_and_names_it(unset_system: System) -> None:
    refused = await unset_system.run("worker")
    assert refused.code == 3
    assert ADVICE in refused.error.splitlines()[-1]


async def test_statement_names_that_collide_name_the_setting(
    start_pooler: StartPooler, limited_database_url: str
) -> None:
    """With start-up parameters ignored, the connection succeeds and the first statement of a second client fails."""
    dropped = "application_name,statement_timeout,lock_timeout,idle_in_transaction_session_timeout,timezone"
    pooler = start_pooler(default_pool_size=1, ignore_startup_parameters=dropped)
    url = pooler.url(database_name(limited_database_url))
    other = await asyncpg.connect(url, statement_cache_size=0)
    for number in range(1, 300):
        await other.execute(f"PREPARE __asyncpg_stmt_{number:x}__ AS SELECT 1")
    await other.close()
    database = Database(create_engine(asyncpg_url(url)))
    try:
        with pytest.raises(ServiceUnavailableError, match=ADVICE) as caught:
            await database.ping()
        assert "already exists" in str(caught.value)
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_client_conn": 1}, "raise the pooler's max_client_conn"),
        ({"default_pool_size": 1, "query_wait_timeout": 1}, "raise its default_pool_size"),
    ],
)
async def test_full_pooler_says_which_of_its_limits_to_raise(
    start_pooler: StartPooler, limited_database_url: str, options: dict[str, int], words: str
) -> None:
    database = open_pooled(start_pooler(**options).url(database_name(limited_database_url)))
    try:
        async with database.unit_of_work() as holder:
            await holder.execute(text("SELECT 1"))
            with pytest.raises(ServiceUnavailableError, match=words):
                await database.ping()
    finally:
        await database.close()


async def test_unknown_database_behind_the_pooler_is_reported(start_pooler: StartPooler) -> None:
    database = open_pooled(start_pooler().url("nowhere"))
    try:
        with pytest.raises(ServiceUnavailableError, match='database "nowhere" does not exist'):
            await database.ping()
    finally:
        await database.close()


async def test_pooler_that_does_not_reach_its_server_is_reported(start_pooler: StartPooler, servers: Servers) -> None:
    pooler = start_pooler(server_login_retry=1)
    database = open_pooled(pooler.url("postgres"))

    async def answer() -> str:
        try:
            return "version " + await database.ping()
        except ServiceUnavailableError as error:
            return str(error)

    async def says(words: str) -> bool:
        return words in await answer()

    assert await says("version ")
    await asyncio.to_thread(servers.postgres.stop)
    try:
        await until(lambda: says("the pooler cannot log in to PostgreSQL: see the pooler's log"))
    finally:
        await asyncio.to_thread(servers.postgres.start)
    await until(lambda: says("version "))
    await database.close()
