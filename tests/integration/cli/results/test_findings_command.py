"""`vibe8 findings`: lines, what is left out, pages, JSON, and options that make no sense."""

import asyncio
import json
import uuid
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from infrastructure.database.engine import Database
from infrastructure.database.repositories.runs import RunRepository, SerializedRun
from tests.fixtures.jobs import new_run
from tests.fixtures.worker_process import System
from tests.integration.cli.command_support import assert_error_line

ITEMS: list[dict[str, Any]] = [
    {"metric": "security", "rule": "B307", "severity": "medium", "path": "src/a.py", "line": 3, "column": 5,
     "message": "Use of\nunsafe \x1b[31m eval", "state": "new"},
    {"metric": "lint", "rule": "F401", "severity": "low", "path": "src/b.py", "line": 1, "column": None,
     "message": "unused", "state": "unchanged"},
    {"metric": "security", "rule": "B101", "severity": "low", "path": "tests/test_a.py", "line": None, "column": None,
     "message": "assert", "state": "new"},
]  # fmt: skip
TREE = {
    "name": "root", "type": "directory", "path": "", "children": [
        {"name": path, "type": "file", "path": path, "role": role, "metrics": {}}
        for path, role in (("src/a.py", "source"), ("src/b.py", "source"), ("tests/test_a.py", "test"))
    ],
}  # fmt: skip


@pytest.fixture
async def run_id(database: Database, local_user: UUID) -> str:
    listed = {"total": 5, "items": ITEMS, "cut": {}, "metrics": {"security": {}, "lint": {}}}
    run = replace(new_run(local_user, uuid.uuid4().hex, findings=listed, file_tree=TREE), comparison={"counts": {}})
    async with database.unit_of_work() as work:
        await RunRepository(work).insert_many([SerializedRun.of(run)])
    return str(run.run_id)


async def test_findings_are_lines_that_begin_with_their_place(cli: System, run_id: str) -> None:
    source, everything, empty, second, as_json = await asyncio.gather(
        cli.run("findings", run_id[:8]),
        cli.run("findings", run_id, "--role", "all", "--state", "new", "--severity", "low+"),
        cli.run("findings", run_id, "--metric", "lint", "--path", "tests/*"),
        cli.run("findings", run_id, "--limit", "1", "--after", "0"),
        cli.run("findings", run_id, "--limit", "1", "--after", "1", "--json"),
    )
    assert {each.code for each in (source, everything, empty, second, as_json)} == {0}
    assert source.out.splitlines() == [
        "src/a.py:3:5  medium security B307 Use of unsafe \\x1b[31m eval (new)",
        "src/b.py:1  low lint F401 unused (unchanged)",
        "left out by role: test 1 (--role all shows them)",
        "2 findings are beyond the limit of the run's list",
    ]
    assert everything.out.splitlines()[1] == "tests/test_a.py  low security B101 assert (new)"
    assert "left out" not in everything.out
    assert empty.out.splitlines()[0] == "no finding matches"
    assert second.out.splitlines()[1] == "1 of 2 findings; the next page: --after 1"
    page = json.loads(as_json.out)
    assert [item["rule"] for item in page["findings"]] == ["F401"]
    assert (page["next"], page["matching"], page["other_roles"], page["unlisted"]) == (None, 2, {"test": 1}, 2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--state", "old"), "--state must be not_measured, tool_changed, updated, moved, unchanged or new, not 'old'"),
        (("--state", "new,fixed"), "not 'fixed'; `vibe8 compare` lists what is fixed"),
        (("--severity", "medium++"), "--severity must be info, low, medium or high, not 'medium+'"),
        (("--role", "tests"), "--role must be source, test, example, docs, generated or all, not 'tests'"),
        (("--role", "all,test"), "--role all goes with no other value"),
        (("--metric", "novelty"), "no findings of 'novelty'; its metrics: lint, security"),
        (("--path", "*" * 2_000), "at most 1000 are allowed"),
    ],
)
async def test_an_option_that_makes_no_sense_names_the_choices(
    cli: System, run_id: str, options: tuple[str, ...], words: str
) -> None:
    assert_error_line(await cli.run("findings", run_id, *options), 2, words)


async def test_a_run_of_another_user_is_refused(cli: System, run_id: str) -> None:
    refused = await cli.run("findings", run_id, "--user", "other@example.org")
    assert_error_line(refused, 2, "belongs to another user")
