"""The checks of `vibe8 doctor` on real servers: finding, advice and exit code."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis

from infrastructure.database.connecting import asyncpg_url
from infrastructure.database.engine import Database
from infrastructure.database.migrate import downgrade, head_revision
from infrastructure.database.server.snapshots import old_snapshots
from tests.fixtures.servers import Servers
from tests.fixtures.worker_process import CommandResult, System
from tests.integration.cli.command_support import forking_system
from worker.cli.commands.doctor.services import check_clock, check_snapshots

SetRedis = Callable[[str, str], None]


@pytest.fixture
def set_redis(servers: Servers) -> Iterator[SetRedis]:
    """Change the configuration of the shared Redis server, and restore it at the end."""
    with redis.Redis.from_url(servers.valkey.url(0), decode_responses=True) as connection:
        before: dict[str, str] = {}

        def change(name: str, value: str) -> None:
            before.setdefault(name, connection.config_get(name)[name])
            connection.config_set(name, value)

        yield change
        for name, value in before.items():
            connection.config_set(name, value)


def check_named(finished: CommandResult, name: str) -> dict[str, Any]:
    (check,) = [check for check in finished.document if check["name"] == name]
    return dict(check)


async def doctor(cli: System, **environment: str) -> CommandResult:
    return await cli.run("doctor", "--json", **environment)


async def test_all_checks_pass(cli: System, set_redis: SetRedis) -> None:
    set_redis("appendonly", "yes")
    plain, quiet, finished = (
        await cli.run("doctor"),
        await cli.run("doctor", "--quiet"),
        await doctor(cli),
    )
    assert [each.code for each in (plain, quiet, finished)] == [0, 0, 0], plain.out
    assert (quiet.out, quiet.error, plain.error) == ("", "", "")
    names = [check["name"] for check in finished.document]
    services = [
        "postgresql",
        "schema",
        "fleet",
        "clock",
        "snapshots",
        "redis",
        "redis-role",
        "redis-eviction",
        "redis-memory",
        "redis-aof",
        "index",
        "connections",
        "pooler",
        "time-limits",
        "isolation",
    ]
    assert names[-len(services) :] == services
    assert {"python", "tools", "git", "sandbox", "scratch", "memory", "tokens"} <= set(names)
    assert all(check["ok"] and not check["advice"] for check in finished.document), finished.out
    assert check_named(finished, "schema")["found"] == f"at {head_revision()}"
    for name in ("postgresql", "redis"):
        assert " ms" in check_named(finished, name)["found"]
        assert any(character.isdigit() for character in check_named(finished, name)["found"].split(",")[0])
    lines = plain.out.splitlines()
    assert [line.split()[1] for line in lines] == names
    assert all(line.startswith("OK ") for line in lines)


@pytest.mark.parametrize(
    ("setting", "value", "found", "advice"),
    [
        ("min-replicas-to-write", "3", "Redis has too few replicas, and refuses writes", "min-replicas-to-write"),
        ("maxmemory", "1mb", "Redis is full", "maxmemory"),
    ],
)
async def test_redis_that_answers_and_refuses_writes_fails(
    cli: System, set_redis: SetRedis, setting: str, value: str, found: str, advice: str
) -> None:
    set_redis(setting, value)
    finished = await doctor(cli)
    check = check_named(finished, "redis-role")
    assert (finished.code, check["ok"]) == (1, False)
    assert check["found"].startswith(found)
    assert advice in check["advice"]


async def test_read_only_postgresql_is_an_outage(cli: System, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    name = await connection.fetchval("SELECT quote_ident(current_database())")
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    try:
        finished = await doctor(cli)
    finally:
        await connection.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        await connection.close()
    check = check_named(finished, "postgresql")
    assert (finished.code, check["ok"]) == (3, False)
    assert check["found"].endswith(" ms, is read-only")
    assert "let DATABASE_URL lead to the primary" in check["advice"]


async def test_service_that_refuses_has_one_advice(cli: System, database_url: str) -> None:
    admin = await asyncpg.connect(database_url)
    await admin.execute("CREATE ROLE doctors_role LOGIN CONNECTION LIMIT 0")
    try:
        finished = await doctor(cli, DATABASE_URL=database_url.replace("postgres@", "doctors_role@", 1))
    finally:
        await admin.execute("DROP ROLE doctors_role")
        await admin.close()
    check = check_named(finished, "postgresql")
    assert (finished.code, check["ok"], check["unreachable"]) == (3, False, True)
    assert check["found"] == 'PostgreSQL: too many connections for role "doctors_role"'
    assert check["advice"] == "raise max_connections, or put a pooler before the server (DB_POOLER)"


async def test_redis_with_an_eviction_policy_fails(cli: System, set_redis: SetRedis) -> None:
    set_redis("maxmemory-policy", "allkeys-lru")
    finished = await doctor(cli)
    check = check_named(finished, "redis-eviction")
    assert (finished.code, check["ok"], check["found"]) == (1, False, "allkeys-lru")
    assert "set maxmemory-policy to noeviction" in check["advice"]


async def test_full_redis_fails(cli: System, set_redis: SetRedis) -> None:
    set_redis("maxmemory", "1mb")
    finished = await doctor(cli)
    check = check_named(finished, "redis-memory")
    assert (finished.code, check["ok"]) == (1, False)
    assert "raise maxmemory" in check["advice"]


async def test_redis_without_persistence_is_a_warning(cli: System, set_redis: SetRedis) -> None:
    set_redis("appendonly", "no")
    finished = await doctor(cli)
    check = check_named(finished, "redis-aof")
    assert (finished.code, check["ok"]) == (0, True)
    assert "set appendonly to yes" in check["advice"]
    (line,) = [line for line in (await cli.run("doctor")).out.splitlines() if "redis-aof" in line]
    assert line.startswith("WARN ")


async def test_older_schema_fails_and_newer_one_passes(cli: System) -> None:
    url = cli.environment["DATABASE_URL"]
    await downgrade(asyncpg_url(url), "0001")
    finished = await doctor(cli)
    check = check_named(finished, "schema")
    assert (finished.code, check["ok"], check["advice"]) == (1, False, "run `vibe8 migrate`")
    assert "0001" in check["found"]
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    await connection.close()
    finished = await doctor(cli)
    assert (finished.code, check_named(finished, "schema")["found"]) == (0, "at 9999")


@pytest.mark.parametrize(
    ("name", "variable", "value"),
    [("scratch", "MIN_FREE_DISK_MB", "100000000"), ("memory", "MIN_FREE_MEMORY_MB", "100000000")],
)
async def test_too_little_disk_or_memory_fails(cli: System, name: str, variable: str, value: str) -> None:
    finished = await doctor(cli, **{variable: value})
    check = check_named(finished, name)
    assert (finished.code, check["ok"]) == (1, False)
    assert variable in check["advice"]


async def test_transaction_that_stays_open_is_a_warning(database_url: str, database: Database) -> None:
    idle = await asyncpg.connect(database_url)
    await idle.execute("SET application_name TO 'report'")
    await idle.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    await idle.execute("SELECT 1")
    await asyncio.sleep(0.2)
    (line,) = [line for line in await old_snapshots(database, 0.1) if "report" in line]
    assert line == f"a transaction of report (process {idle.get_server_pid()}) is open for 0 min"
    assert not [line for line in await old_snapshots(database, 600) if "report" in line]
    await idle.close()
    assert not [line for line in await old_snapshots(database, 0.1) if "report" in line]
    check = check_snapshots([line])
    assert (check.ok, check.found) == (True, line)
    assert "dead rows" in check.advice


async def test_unreachable_service_exits_with_3(database_url: str, redis_url: str, tmp_path: Path) -> None:
    unreachable = forking_system("postgresql://u@127.0.0.1:1/d", "redis://127.0.0.1:1/0", tmp_path)
    finished = await doctor(unreachable)
    assert finished.code == 3
    for name, variable in (("postgresql", "DATABASE_URL"), ("redis", "REDIS_URL")):
        check = check_named(finished, name)
        assert (check["ok"], check["unreachable"]) == (False, True)
        assert variable in check["advice"]
    half = await doctor(forking_system(database_url, "redis://127.0.0.1:1/0", tmp_path))
    assert (half.code, check_named(half, "postgresql")["ok"], check_named(half, "redis")["ok"]) == (3, True, False)


@pytest.mark.parametrize(
    ("ahead", "ok", "words"),
    [
        (0.0, True, ""),
        (1.9, True, ""),
        (-1.9, True, ""),
        (7.0, False, "this machine's clock is behind"),
        (-7.0, False, "the clock of PostgreSQL's machine is behind"),
    ],
)
def test_clock_skew_fails_above_its_limit(ahead: float, ok: bool, words: str) -> None:
    check = check_clock(ahead)
    assert check.ok is ok
    assert words in check.advice
    assert f"{abs(ahead):.1f} s" in check.found


class _Index(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        page = {"meta": {"api-version": "1.0"}, "name": "pip", "files": []}
        self.send_response(200 if self.path.startswith("/good/") else 503)
        self.send_header("Content-Type", "application/vnd.pypi.simple.v1+json")
        self.end_headers()
        self.wfile.write(json.dumps(page).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def index() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Index) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


async def test_package_index_never_fails(cli: System, index: str) -> None:
    answers = await doctor(cli, PACKAGE_INDEX_URL=f"{index}/good/")
    assert (answers.code, check_named(answers, "index")["advice"]) == (0, "")
    assert "answers in" in check_named(answers, "index")["found"]
    unavailable = await doctor(cli, PACKAGE_INDEX_URL=f"{index}/bad/")
    check = check_named(unavailable, "index")
    assert (unavailable.code, check["ok"]) == (0, True)  # jobs run without the index
    assert "PACKAGE_INDEX_URL" in check["advice"]
    assert "switched off" in check_named(await doctor(cli, PACKAGE_INDEX_URL=""), "index")["found"]
