"""Exports of sources with unusual names, histories and tools: each is a valid document, or one clear line."""

import csv
import io
import json
import os
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID
from xml.etree import ElementTree as ET

import pytest

from collectors.engine.analysis import Options, analyse
from domain.metrics.report import Analysis
from domain.sources import FetchedSource
from infrastructure.database.engine import Database
from infrastructure.database.repositories.runs import RunRepository, SerializedRun
from tests.fixtures.git_repository import WorkTree, git
from tests.fixtures.jobs import new_run
from tests.fixtures.worker_process import System
from tests.hostile.support.naughty_strings import UNSAFE
from tests.unit.collectors.source_trees import load_tree
from tests.unit.worker.export.html_pages import Page
from worker.export.export_format import ExportFormat
from worker.export.formats import export_result
from worker.results.reviewed_analysis import local_result, measured, review_analysis

CODE = '"""A module."""\nimport os\n\n\ndef run(command):\n    eval(command)\n'
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
NAMES = (
    "=cmd().py", "+1.py", "-1.py", "@SUM(A1).py", "\t=x.py", "\r=x.py", "\n=x.py", "</script>/a.py", "a\u202egnp.py",
    "\u2066b.py", "`x`](javascript:y).py", "<img src=x onerror=alert(1)>.py", "x;=cmd().py", "\uff1dcmd().py",
)  # fmt: skip
BOT = {
    "GIT_AUTHOR_NAME": "dependabot[bot]",
    "GIT_AUTHOR_EMAIL": "49699333+dependabot[bot]@users.noreply.github.com",
}
IN_2106 = 2**32 + 1_000_000
JSON_FORMS = (ExportFormat.SARIF, ExportFormat.SARIF_FULL, ExportFormat.GITLAB, ExportFormat.BADGE_JSON)


def read_exports(document: Mapping[str, Any]) -> dict[str, Any]:
    """Export the result in every form, and return what readers of each form understand of it."""
    texts = {form: export_result(document, form).decode() for form in ExportFormat}
    for form, text in texts.items():
        assert not UNSAFE.search(text.replace("\r\n", "\n")), form
    assert texts[ExportFormat.MARKDOWN].startswith("## vibe8")
    return {
        "html": Page(texts[ExportFormat.HTML]),
        "csv": list(csv.DictReader(io.StringIO(texts[ExportFormat.CSV], newline=""))),
        "badge": ET.fromstring(texts[ExportFormat.BADGE]),  # noqa: S314 - our own
        **{str(form): json.loads(texts[form], parse_constant=pytest.fail) for form in JSON_FORMS},
    }


async def analysed(system: System, *options: str) -> dict[str, Any]:
    finished = await system.run("analyze", "tree", "--offline", "--json", *options)
    assert (finished.code, finished.error) == (0, "")
    document: dict[str, Any] = finished.document
    return document


def commit_at(tree: WorkTree, seconds: int, name: str, **environment: str) -> None:
    tree.write(name, CODE)
    tree.git("add", "-A")
    date = f"@{seconds} +0000"
    dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    git(tree.path, "commit", "-q", "-m", name, stdin=b"", **dates, **environment)


async def test_names_of_files_are_text_in_every_form(no_services: System) -> None:
    tree = no_services.directory / "tree"
    for name in NAMES:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(CODE)
    exports = read_exports(await analysed(no_services))
    paths = {row["path"] for row in exports["csv"]}
    assert len(paths) == len(NAMES)
    assert not [cell for row in exports["csv"] for cell in row.values() if cell.startswith(FORMULA_STARTS)]
    assert {item["location"]["path"] for item in exports["gitlab"]} >= {"=cmd().py", "</script>/a.py"}
    elements = {tag for tag, _ in exports["html"].elements}
    assert not elements & {"script", "img"}
    assert "</script>/a.py" in exports["html"].text("findings")
    assert r"a\u202egnp.py" in exports["html"].text("findings")


@pytest.mark.parametrize("form", ExportFormat)
async def test_command_writes_names_in_every_form_without_control_characters(
    no_services: System, form: ExportFormat
) -> None:
    tree = no_services.directory / "tree\n\x1b[31m"
    tree.mkdir()
    for name in NAMES[:7]:
        (tree / name).write_text(CODE)
    finished = await no_services.run("analyze", tree.name, "--offline", "--format", form)
    assert (finished.code, finished.error) == (0, "")
    assert finished.out
    assert not UNSAFE.search(finished.out.replace("\r\n", "\n"))


def one_commit(tree: WorkTree) -> None:
    commit_at(tree, 1_700_000_000, "a.py")


def one_author(tree: WorkTree) -> None:
    for number in range(12):
        commit_at(tree, 1_700_000_000 + number * 86_400, f"m{number % 3}_{number}.py")


def bots_only(tree: WorkTree) -> None:
    for number in range(3):
        commit_at(tree, 1_700_000_000 + number, f"m{number}.py", **BOT)


def in_1970(tree: WorkTree) -> None:
    commit_at(tree, 0, "a.py")
    commit_at(tree, 1, "b.py")


def in_2106(tree: WorkTree) -> None:
    commit_at(tree, IN_2106, "a.py")
    commit_at(tree, IN_2106 + 1, "b.py")


def from_1970_to_2106(tree: WorkTree) -> None:
    commit_at(tree, 0, "a.py")
    commit_at(tree, IN_2106, "b.py")


@pytest.mark.parametrize(
    ("make", "commits", "committed"),
    [
        (one_commit, 1, "2023-11-14"),
        (one_author, 12, "2023-11-25"),
        (bots_only, 3, "2023-11-14"),
        (in_1970, 2, "1970-01-01"),
        (in_2106, 2, "2106-02-18"),
        (from_1970_to_2106, 2, "2106-02-18"),
    ],
)
async def test_every_form_of_an_odd_history_is_valid(
    no_services: System, make: Callable[[WorkTree], None], commits: int, committed: str
) -> None:
    make(WorkTree(no_services.directory / "tree"))
    document = await analysed(no_services)
    assert document["metrics"]["churn"]["total_commits"] == commits
    page = read_exports(document)["html"]
    assert f"Committed {committed}" in page.text("header")
    assert not re.search(r"\b(nan|inf)\b", page.markup.lower())


async def test_every_form_of_a_shallow_history_is_valid_and_says_why_it_is_not_measured(no_services: System) -> None:
    one_author(WorkTree(no_services.directory / "whole"))
    git(no_services.directory, "clone", "-q", "--depth=1", f"file://{no_services.directory}/whole", "tree")
    document = await analysed(no_services)
    page = read_exports(document)["html"]
    assert "shallow" in document["history"]["reason"]
    assert "shallow" in page.text("ownership")


async def test_baseline_of_other_tool_versions_is_compared_in_every_form(no_services: System) -> None:
    tree = WorkTree(no_services.directory / "tree")
    tree.commit("one", a_py=CODE, same_py=CODE)
    before = await analysed(no_services)
    before["tool_versions"] |= {"ruff": "0.0.1", "bandit": "0.0.1"}
    items = before["findings"]["items"]  # that version of bandit did not know the rule
    before["findings"]["items"] = [each for each in items if (each["path"], each["metric"]) != ("same.py", "security")]
    (no_services.directory / "old.json").write_text(json.dumps(before))
    tree.commit("two", a_py=CODE + "eval(input())\n", b_py="import os\n")
    document = await analysed(no_services, "--baseline", "old.json")
    states = {item["state"] for item in document["findings"]["items"]}
    assert states == {"new", "unchanged", "tool_changed"}
    exports = read_exports(document)
    assert "0.0.1" in exports["html"].text("changes")
    assert {row["state"] for row in exports["csv"]} == states


@pytest.mark.parametrize("form", [*ExportFormat, "json"])
async def test_source_without_python_is_one_line(no_services: System, form: str) -> None:
    (no_services.directory / "tree").mkdir()
    options = ("--json",) if form == "json" else ("--format", form)
    finished = await no_services.run("analyze", "tree", "--offline", *options)
    assert (finished.code, finished.out) == (2, "")
    assert "no Python file" in finished.error
    assert finished.error.count("\n") == 1


def test_result_of_no_files_is_valid_in_every_form(tmp_path: Path) -> None:
    analysis = analyse(load_tree(tmp_path), FetchedSource(has_history=False), Options(processes=1))
    source = {"kind": "directory", "path": os.fspath(tmp_path), "project_name": None}
    document = local_result(source, review_analysis(analysis, measured(analysis, "")))
    exports = read_exports(document)
    assert exports["csv"] == exports["gitlab"] == []
    assert exports["badge-json"]["message"] == "unknown"
    assert "0 files" in exports["html"].text("header") + exports["html"].text("files")


async def stored(database: Database, user_id: UUID, analysis: Analysis) -> str:
    run = replace(new_run(user_id, uuid.uuid4().hex), analysis=analysis)
    async with database.unit_of_work() as work:
        await RunRepository(work).insert_many([SerializedRun.of(run)])
    return str(run.run_id)


async def test_stored_runs_of_such_names_and_other_tools_are_listed_compared_and_exported(
    cli: System, database: Database, local_user: UUID, tmp_path: Path
) -> None:
    """Each path begins with NUL, which no file system has but a row of another program may bring."""
    for number, name in enumerate(NAMES):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_text(CODE + "\n" * number)
    found = analyse(load_tree(tmp_path / "tree"), FetchedSource(has_history=False), Options(processes=1))
    items = [{**item, "path": f"\x00{item['path']}"} for item in found.findings["items"]]
    found = replace(found, findings={**found.findings, "items": items})
    first = await stored(database, local_user, replace(found, tool_versions={**found.tool_versions, "ruff": "0.0.1"}))
    second = await stored(database, local_user, found)
    none = await stored(database, local_user, replace(found, findings={**found.findings, "total": 0, "items": []}))
    commands: list[tuple[str, ...]] = [
        ("findings", second, "--path", "*=cmd()*"), ("findings", second, "--limit", "1000"), ("findings", none),
        ("compare", second, first), ("compare", second, none), ("compare", none, second),
        *(("export", run_id, "--format", form) for form in ExportFormat for run_id in (second, none)),
    ]  # fmt: skip
    for command in commands:
        finished = await cli.run(*command)
        assert (finished.code, finished.error) == (0, ""), command
        assert finished.out, command
        assert not UNSAFE.search(finished.out.replace("\r\n", "\n")), command
    listed = (await cli.run("findings", second, "--limit", "1000", "--role", "all")).out.splitlines()
    assert len([line for line in listed if line.startswith("\\x00")]) == len(items) == len(listed)


@pytest.mark.parametrize("form", ["sarif", "csv"])
async def test_damaged_or_foreign_baseline_is_one_line(no_services: System, form: str) -> None:
    (no_services.directory / "a.py").write_text(CODE)
    (no_services.directory / "old.json").write_text('{"</script>": "=cmd()\\u0000"}')
    finished = await no_services.run("analyze", "a.py", "--offline", "--format", form, "--baseline", "old.json")
    assert (finished.code, finished.out, finished.error.count("\n")) == (2, "", 1)
    assert "old.json is no result" in finished.error
