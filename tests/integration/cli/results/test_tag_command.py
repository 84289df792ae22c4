"""`vibe8 tag` and `vibe8 runs --tag`."""

from uuid import UUID

import pytest

from infrastructure.database.engine import Database
from infrastructure.database.repositories.runs import RunRepository, SerializedRun
from tests.fixtures.jobs import new_run, new_user
from tests.fixtures.worker_process import System
from tests.integration.cli.command_support import assert_error_line


@pytest.fixture
async def runs(database: Database) -> list[UUID]:
    user_id = await new_user(database, "local@localhost")
    runs = [new_run(user_id, f"job {number}") for number in range(2)]
    async with database.unit_of_work() as work:
        await RunRepository(work).insert_many([SerializedRun.of(run) for run in runs])
    return [run.run_id for run in runs]


async def test_tags_are_added_shown_searched_and_removed(cli: System, runs: list[UUID]) -> None:
    run_id = str(runs[0])
    added = await cli.run("tag", run_id[:8], "Domain=Web", "kind=service")
    assert (added.out, added.error, added.code) == ("domain=web\nkind=service\n", "", 0)
    found = await cli.run("runs", "--tag", "domain=WEB", "--tag", "kind=service", "--json")
    assert [run["source"]["run_id"] for run in found.document] == [run_id]
    assert found.document[0]["tags"] == {"domain": ["web"], "kind": ["service"]}
    assert "domain=web" in (await cli.run("runs")).out
    assert "tags: domain=web, kind=service" in (await cli.run("run", run_id)).out
    assert (await cli.run("runs", "--tag", "domain=other")).out == "no runs\n"
    removed = await cli.run("tag", run_id, "level=1", "--remove", "domain=web", "--json")
    assert removed.document == {"run_id": run_id, "tags": {"kind": ["service"], "level": ["1"]}}
    assert (await cli.run("tag", run_id)).out == "kind=service\nlevel=1\n"
    assert (await cli.run("tag", run_id, "--clear")).out == ""


async def test_wrong_tags_are_refused_in_one_line(cli: System, runs: list[UUID]) -> None:
    run_id = str(runs[0])
    assert_error_line(await cli.run("tag", run_id, "web"), 2, "must be category=value")
    assert_error_line(await cli.run("runs", "--tag", "=web"), 2, "must not be empty")
    assert_error_line(await cli.run("tag", run_id, "a=" + "x" * 100_000), 2, "has 100000 characters")
    assert_error_line(await cli.run("tag", run_id, "--clear", "--remove", "a=b"), 2, "--clear removes all tags")
    assert_error_line(await cli.run("tag", "0" * 32, "a=b"), 2, "there is no run")
