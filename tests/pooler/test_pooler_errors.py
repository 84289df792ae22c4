"""What PgBouncer refuses is an outage, told in one line that says what to do."""

import asyncio
import signal

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from domain.errors import ServiceUnavailableError
from infrastructure.database.connecting import asyncpg_url
from infrastructure.database.engine import Database, create_engine
from tests.fixtures.database import Rows
from tests.fixtures.jobs import PYTHON_FILE, submit_for_many
from tests.fixtures.servers import Servers
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System
from tests.pooler.conftest import StartPooler, database_name, open_pooled
from tests.pooler.held_jobs import all_completed
from worker.client import Client

DROPPED = "application_name,statement_timeout,lock_timeout,idle_in_transaction_session_timeout,timezone"
"""The start-up parameters of a connection, which PgBouncer refuses unless it is told to drop them."""

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
    assert check["advice"] == ADVICE
    assert "unsupported startup parameter" in check["found"]


async def test_worker_without_the_setting_ends_and_names_it(unset_system: System) -> None:
    refused = await unset_system.run("worker")
    assert refused.code == 3
    assert ADVICE in refused.error.splitlines()[-1]


async def test_statement_names_that_collide_name_the_setting(
    start_pooler: StartPooler, limited_database_url: str
) -> None:
    """With start-up parameters ignored, the connection succeeds and the first statement of a second client fails."""
    pooler = start_pooler(default_pool_size=1, ignore_startup_parameters=DROPPED)
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


async def test_statement_that_the_pooler_forgets_names_the_setting(
    start_pooler: StartPooler, limited_database_url: str
) -> None:
    """The pooler resets its connection after each transaction, so the next one does not know the statement."""
    reset = {"server_reset_query": "DEALLOCATE ALL", "server_reset_query_always": 1}
    pooler = start_pooler(default_pool_size=1, ignore_startup_parameters=DROPPED, **reset)
    database = Database(create_engine(asyncpg_url(pooler.url(database_name(limited_database_url)))))
    try:
        await database.ping()
        with pytest.raises(ServiceUnavailableError, match=f"does not exist; {ADVICE}") as caught:
            await database.ping()
        cause = caught.value.__cause__
        assert isinstance(cause, DBAPIError)
        assert getattr(cause.orig, "sqlstate", None) == "26000"
    finally:
        await database.close()


async def test_worker_without_the_setting_loses_no_job_where_the_pooler_lets_it_connect(
    start_pooler: StartPooler, limited_database_url: str, system: System
) -> None:
    """Statements of its connections are mixed up: some fail, it tries again, and says what to set."""
    url = start_pooler(ignore_startup_parameters=DROPPED).url(database_name(limited_database_url))
    async with Client.open(system.settings) as client:
        jobs = await submit_for_many(client, 20, PYTHON_FILE)
        async with system.with_settings(DATABASE_URL=url, DB_POOLER="none").worker() as worker:

            async def says_why() -> bool:
                return any(ADVICE in line.get("reason", "") for line in worker.log())

            await until(says_why)
            assert worker.process.poll() is None
            await worker.stop(signal.SIGKILL)
    await Rows(system).all("UPDATE jobs SET lease_expires_at = now() - interval '1 s' WHERE status = 'running'")
    async with system.with_settings(DATABASE_URL=url, DB_POOLER="transaction").worker():
        await all_completed(system, len(jobs))
    assert len(await Rows(system).runs()) == len(jobs)


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
