"""The README's program runs, and the SQL of the pages and of the autoscaler runs on the schema."""

import asyncio
import re
import subprocess
import sys

import asyncpg
import pytest
from pydantic import SecretStr

from infrastructure.database.engine import Database
from infrastructure.settings import Settings
from tests.fixtures.archives import make_zip
from tests.fixtures.jobs import new_user, submit
from tests.fixtures.worker_process import System, WorkerProcess
from tests.unit.deploy.project_files import DEPLOY, ROOT, documents

SQL = [
    pytest.param(statement, id=f"{page.stem}-{number}")
    for page in sorted((ROOT / "docs").glob("*.md"))
    for number, block in enumerate(re.findall(r"^```sql\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL))
    for statement in block.split(";")
    if statement.strip()
]


async def test_program_of_the_readme_runs(system: System, worker: WorkerProcess) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (system.directory / "code.zip").write_bytes(make_zip({"a.py": "def f(x):\n    return x if x else 1\n"}))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        cwd=system.directory,
        env=system.process_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, error = await process.communicate()
    assert (process.returncode, error.decode()) == (0, ""), worker.log()
    *seen, result = out.decode().splitlines()
    assert seen[-1] == "completed None 100"
    assert result.startswith("{'avg_cc': 2.0, ")


def test_pages_contain_sql() -> None:
    assert SQL


@pytest.mark.parametrize("statement", SQL)
async def test_sql_of_the_pages_runs(database_url: str, statement: str) -> None:
    database = Database.from_settings(_settings(database_url))
    await submit(database, await new_user(database))
    await database.close()
    connection = await asyncpg.connect(database_url)
    try:
        await connection.fetch(statement)
    finally:
        await connection.close()


async def test_autoscaler_query_counts_due_and_running_jobs(database_url: str) -> None:
    scaled = next(item for item in documents(DEPLOY / "kubernetes/scaledobject.yaml") if item["kind"] == "ScaledObject")
    query = scaled["spec"]["triggers"][0]["metadata"]["query"]
    database = Database.from_settings(_settings(database_url))
    user_id = await new_user(database)
    jobs = [(await submit(database, user_id)).job_id for _ in range(5)]
    await database.close()
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval(query) == 5
        await connection.execute("UPDATE jobs SET status = 'running' WHERE job_id = $1", jobs[0])
        await connection.execute("UPDATE jobs SET status = 'completed' WHERE job_id = $1", jobs[1])
        await connection.execute("UPDATE jobs SET status = 'failed' WHERE job_id = $1", jobs[2])
        await connection.execute("UPDATE jobs SET run_after = now() + interval '1 min' WHERE job_id = $1", jobs[3])
        assert await connection.fetchval(query) == 2
    finally:
        await connection.close()


def _settings(database_url: str) -> Settings:
    return Settings(database_url=SecretStr(database_url))
