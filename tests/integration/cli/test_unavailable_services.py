"""Error lines of the commands where PostgreSQL or Redis is unavailable."""

import asyncio
import socket
from pathlib import Path

import pytest

from tests.fixtures.worker_process import System
from tests.integration.cli.command_support import assert_error_line, forking_system, without_services

FOR_JOBS = (("jobs",), ("job", "x"), ("result", "x"), ("cancel", "x"), ("retry", "x"), ("submit", "code.py"))
ALL = (*FOR_JOBS, ("cleanup",), ("migrate",), ("worker",))


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def assert_error_lines(cli: System, commands: tuple[tuple[str, ...], ...], *words: str) -> None:
    (cli.directory / "code.py").write_text("x = 1\n")
    for command in commands:
        as_json = () if command == ("worker",) else ("--json",)
        assert_error_line(await cli.run(*command, *as_json), 3, *words)


async def test_every_command_without_services_exits_with_3(tmp_path: Path) -> None:
    await assert_error_lines(without_services(tmp_path), ALL, "`vibe8 up`", "DATABASE_URL", "REDIS_URL")


async def test_unreachable_redis_exits_with_3(database_url: str, closed_port: int, tmp_path: Path) -> None:
    system = forking_system(database_url, f"redis://127.0.0.1:{closed_port}/0", tmp_path, LOG_LEVEL="error")
    await assert_error_lines(system, (("submit", "code.py"), ("cancel", "x")), "Redis cannot be reached", "REDIS_URL")
    assert (await system.run("jobs")).out == "no jobs\n"  # needs PostgreSQL only
    assert_error_line(await system.run("job", "x"), 2, "there is no job x")


async def test_unreachable_postgresql_exits_with_3(redis_url: str, closed_port: int, tmp_path: Path) -> None:
    address = f"postgresql://u:s3cret@127.0.0.1:{closed_port}/d"
    system = forking_system(address, redis_url, tmp_path, STARTUP_WAIT="0", LOG_LEVEL="error")
    await assert_error_lines(
        system,
        (("jobs",), ("submit", "code.py"), ("cleanup",), ("migrate",), ("worker",)),
        "PostgreSQL cannot be reached",
    )


async def test_missing_database_exits_with_3(database_url: str, redis_url: str, tmp_path: Path) -> None:
    system = forking_system(database_url.replace("/test_", "/missing_"), redis_url, tmp_path)
    await assert_error_lines(system, (("jobs",),), "PostgreSQL", "does not exist")


async def test_invalid_token_encryption_key_is_refused(cli: System) -> None:
    finished = await cli.run("jobs", TOKEN_ENCRYPTION_KEYS="no-key")
    assert_error_line(finished, 2, "TOKEN_ENCRYPTION_KEYS", "Fernet")
    assert "no-key" not in finished.error


async def test_database_without_schema_exits_with_3(empty_database_url: str, redis_url: str, tmp_path: Path) -> None:
    system = forking_system(empty_database_url, redis_url, tmp_path)
    await assert_error_lines(system, (("jobs",), ("submit", "code.py"), ("cleanup",)), "run `vibe8 migrate`")


async def test_concurrent_migrations_report_the_same_schema(
    empty_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    system = forking_system(empty_database_url, redis_url, tmp_path)
    before = await system.run("doctor", "--json")
    assert before.code == 1
    (advice,) = [check["advice"] for check in before.document if check["name"] == "schema"]
    assert "vibe8 migrate" in advice

    first, second = await asyncio.gather(system.run("migrate", "--json"), system.run("migrate", "--json"))
    assert (first.code, second.code) == (0, 0), (first.error, second.error)
    head = first.document["after"]
    assert second.document["after"] == head
    # Each migration is a transaction of its own: the other command may see the schema between two of them.
    assert None in {first.document["before"], second.document["before"]}

    third = await system.run("migrate")
    assert (third.code, third.out, third.error) == (0, f"the schema is up to date ({head})\n", "")
    assert (await system.run("jobs")).out == "no jobs\n"


async def test_doctor_prints_failed_checks_with_advice(database_url: str, closed_port: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    system = forking_system(
        database_url,
        f"redis://127.0.0.1:{closed_port}/0",
        tmp_path,
        SCRATCH_DIR=str(tmp_path / "file"),
        TOKEN_ENCRYPTION_KEYS="no-key",
    )
    plain, quiet = await asyncio.gather(system.run("doctor", PATH="/nowhere"), system.run("doctor", "--quiet"))
    assert (plain.code, quiet.code, quiet.out, quiet.error) == (3, 3, "", "")
    lines = plain.out.splitlines()
    advice = {}
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("FAIL"):
            advice[line.split()[1]] = following.strip()
    assert set(advice) == {"git", "sandbox", "scratch", "tokens", "redis"}
    assert "install git" in advice["git"]
    assert "SCRATCH_DIR" in advice["scratch"]
    assert "SCRATCH_DIR" in advice["sandbox"]
    assert "Fernet" in advice["tokens"]
    assert "REDIS_URL" in advice["redis"]
    assert "no-key" not in plain.out


async def test_doctor_without_services_exits_with_3(tmp_path: Path) -> None:
    finished = await without_services(tmp_path).run("doctor", "--json")
    assert finished.code == 3
    (services,) = [check for check in finished.document if check["unreachable"]]
    assert "vibe8 up" in services["advice"]
