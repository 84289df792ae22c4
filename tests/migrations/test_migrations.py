"""Upgrades and downgrades of the schema, concurrent ones too, from a checkout and from a wheel."""

import asyncio
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import asyncpg
import pytest

from domain.errors import InvalidInputError, ServiceUnavailableError
from infrastructure.database.connecting import asyncpg_url
from infrastructure.database.migrate import (
    ADVISORY_LOCK,
    current_revision,
    downgrade,
    head_revision,
    migrations_directory,
    schema_differences,
    upgrade,
)

CHECKOUT = Path(__file__).parents[2]


async def objects(url: str) -> set[str]:
    """Return the names of all tables, indexes, functions and triggers in the database."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            """
            SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
            UNION SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
            UNION SELECT tgname FROM pg_trigger WHERE NOT tgisinternal
            """
        )
        return {row[0] for row in rows}
    finally:
        await connection.close()


async def test_upgrade_downgrade_and_upgrade_again(empty_database_url: str) -> None:
    url = asyncpg_url(empty_database_url)
    assert await current_revision(url) is None
    await upgrade(url)
    first = await objects(empty_database_url)
    assert {"users", "analysis_runs", "jobs", "daily_usage", "cron_slots", "jobs_set_updated_at"} <= first
    assert await current_revision(url) == head_revision()
    await downgrade(url, "base")
    assert await objects(empty_database_url) == {"alembic_version", "alembic_version_pkc"}
    await upgrade(url)
    assert await objects(empty_database_url) == first
    assert await schema_differences(url) == []


async def test_schema_differences_reports_a_missing_column(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("ALTER TABLE jobs DROP COLUMN stage")
    await connection.close()
    found = await schema_differences(asyncpg_url(database_url))
    assert len(found) == 1
    assert "stage" in found[0]


async def test_concurrent_upgrades_in_one_process_take_turns(empty_database_url: str) -> None:
    url = asyncpg_url(empty_database_url)
    await asyncio.gather(*(upgrade(url) for _ in range(4)))
    assert await current_revision(url) == head_revision()
    assert await schema_differences(url) == []


async def test_concurrent_upgrades_in_several_processes_take_turns(empty_database_url: str) -> None:
    first, other = [await asyncpg.connect(empty_database_url) for _ in range(2)]
    try:
        async with asyncio.timeout(60), first.transaction():
            await first.execute("SELECT pg_advisory_xact_lock($1)", ADVISORY_LOCK)  # as another migration would
            waiting = [start_alembic(empty_database_url, "upgrade", "head") for _ in range(3)]
            connected = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'vibe8-migrate'"
            # On a connection of its own: within a transaction the view is read once.
            while await other.fetchval(connected) < 3:
                assert all(process.poll() is None for process in waiting)
            await asyncio.sleep(1)  # each asks for the lock several times
            assert all(process.poll() is None for process in waiting)
            assert await first.fetchval("SELECT to_regclass('jobs')") is None
    finally:
        await first.close()
        await other.close()
    ends = [await asyncio.to_thread(process.communicate) for process in waiting]
    assert [process.returncode for process in waiting] == [0, 0, 0], ends
    assert await schema_differences(asyncpg_url(empty_database_url)) == []


async def test_a_locked_table_stops_the_migration_without_a_partial_change(
    database_url: str, empty_database_url: str
) -> None:
    holder = await asyncpg.connect(database_url)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE jobs, notices, analysis_runs, audit_logs IN ACCESS SHARE MODE")
            with pytest.raises(ServiceUnavailableError, match="lock timeout"):
                await downgrade(asyncpg_url(database_url), "base")
    finally:
        await holder.close()
    # Each migration is a transaction of its own: newer ones may be undone, that of the locked table is as it was.
    reached = await current_revision(asyncpg_url(database_url))
    assert reached is not None
    await upgrade(asyncpg_url(empty_database_url), reached)
    assert await objects(database_url) == await objects(empty_database_url)
    await upgrade(asyncpg_url(database_url))
    assert await schema_differences(asyncpg_url(database_url)) == []


async def test_an_unknown_revision_is_refused(database_url: str) -> None:
    with pytest.raises(InvalidInputError, match="nonsense"):
        await upgrade(asyncpg_url(database_url), "nonsense")


async def test_an_unreachable_server_is_reported() -> None:
    with pytest.raises(ServiceUnavailableError, match="cannot be reached"):
        await upgrade(asyncpg_url("postgresql://u:secret@127.0.0.1:1/d"))


def start_alembic(address: str, *arguments: str, named: bool = False) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    place = ["-x", f"url={address}"] if named else []
    if not named:
        environment |= {"DATABASE_URL": address, "REDIS_URL": "redis://127.0.0.1:1"}
    command = [sys.executable, "-m", "alembic", *place, *arguments]
    return subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def alembic(address: str, *arguments: str, named: bool = False) -> str:
    with start_alembic(address, *arguments, named=named) as process:
        output, _ = process.communicate()
    assert process.returncode == 0, output
    return output


def test_the_alembic_command_works_in_a_checkout(empty_database_url: str) -> None:
    alembic(empty_database_url, "upgrade", "head")
    assert "No new upgrade operations" in alembic(empty_database_url, "check")
    assert f"{head_revision()} (head)" in alembic(empty_database_url, "current", named=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [built] = place.glob("*.whl")
    return built


def test_the_wheel_contains_every_migration(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    folder = migrations_directory()
    ours = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in (".py", ".mako")}
    assert {"env.py", "script.py.mako"} < ours
    assert {f"infrastructure/database/migrations/{name}" for name in ours} <= names


def test_an_installed_wheel_migrates_without_the_checkout(empty_database_url: str, wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    program = (
        "import asyncio, sys\n"
        "from infrastructure.database import migrate\n"
        "from infrastructure.database.connecting import asyncpg_url\n"
        "url = asyncpg_url(sys.argv[1])\n"
        "asyncio.run(migrate.upgrade(url))\n"
        "print(migrate.migrations_directory(), asyncio.run(migrate.schema_differences(url)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, empty_database_url],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "site/infrastructure/database/migrations"), "[]"]


def test_check_schema_finds_no_difference() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.tools.check_schema"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "agree" in done.stdout
