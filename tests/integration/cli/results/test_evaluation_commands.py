"""`vibe8 evaluate`, `vibe8 evaluation`, `vibe8 evaluations`."""

import asyncio
import json
from pathlib import Path
from uuid import UUID

import pytest

from infrastructure.database.engine import Database
from tests.fixtures.control.evaluations import claim_all, complete, fail, submit_evaluation
from tests.fixtures.worker_process import System
from tests.integration.cli.command_support import assert_error_line
from worker.client import Client

HEAD = "source,author_type,author_model,task\n"


def write(directory: Path, manifest: str, name: str = "m.csv") -> str:
    for project in ("a", "b"):
        (directory / project).mkdir(exist_ok=True)
        (directory / project / "code.py").write_text(f"x = '{project}'\n")
    (directory / name).write_text(manifest)
    return str(directory / name)


async def test_manifest_is_submitted_and_its_evaluation_shown(
    cli: System, client: Client, local_user: UUID, database: Database, tmp_path: Path
) -> None:
    people = '[[items]]\nsource = "a"\nauthor_type = "human"\n'
    by_model = '[[items]]\nsource = "b/code.py"\nauthor_type = "ai"\nauthor_model = "m[bold]"\ntask = "t"\n'
    toml = f'name = "Mine"\n{people}{by_model}'
    submitted = await cli.run("evaluate", write(tmp_path, toml, "m.toml"))
    assert submitted.code == 0, submitted.error
    (summary,) = await client.evaluations.list(local_user)
    assert submitted.out == f"{summary.evaluation_id}\n"
    assert summary.name == "Mine"
    opened, listed, exported = await asyncio.gather(
        cli.run("evaluation", str(summary.evaluation_id)[:8]),
        cli.run("evaluations"),
        cli.run("evaluation", str(summary.evaluation_id), "--format", "html"),
    )
    lines = [line.split() for line in opened.out.splitlines()]
    assert opened.out.startswith("Mine: pending, 0 of 2 projects have ended\n")
    assert [line[1:] for line in lines if line[1:2] == ["pending"]] == [
        ["pending", "human", "-", "a"], ["pending", "m[bold]", "t", "b/code.py"]
    ]  # fmt: skip
    assert listed.out.splitlines()[1].split()[3:] == ["pending", "2", "m[bold]", "Mine"]
    assert_error_line(exported, 2, "the evaluation is pending", "2 of its 2 projects have not ended")
    first, second = await claim_all(database, 2)
    await complete(database, first, 1)
    await fail(database, second)
    ended, as_json = await asyncio.gather(
        cli.run("evaluation", str(summary.evaluation_id)), cli.run("evaluation", str(summary.evaluation_id), "--json")
    )
    assert ended.out.startswith("Mine: completed\nAuthorship is declared by the submitter")
    assert "left out: b/code.py by m[bold], failed: it failed" in ended.out.splitlines()
    assert json.loads(as_json.out)["left_out"][0]["source"] == "b/code.py"


async def test_results_are_written_to_a_file(
    cli: System, client: Client, local_user: UUID, database: Database, tmp_path: Path
) -> None:
    evaluation = await submit_evaluation(client, local_user)
    for value, claim in enumerate(await claim_all(database, 2)):
        await complete(database, claim, value)
    identifier = str(evaluation.summary.evaluation_id)
    for form, beginning in (
        ("html", b"<!DOCTYPE html>"),
        ("csv", b"table,task,measure,"),
        ("json", b"{"),
    ):
        file = tmp_path / form
        written = await cli.run("evaluation", identifier, "--format", form, "--output", str(file))
        assert (written.code, written.out) == (0, "")
        assert file.read_bytes().startswith(beginning)


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (HEAD + "a,human,,\n", ["m.csv: it names no author but 'human'"]),
        (HEAD + "a,human,,\nb,ai,=1+1,\n", ["m.csv: line 3", "formula"]),
        (HEAD + "a,human,,\nmissing,ai,m,\n", ["line 3", "is no directory, no file"]),
        (HEAD + "a,human,,\nhttps://evil.example/o/r,ai,m,\n", ["line 3", "is not allowed"]),
        (HEAD + "".join(f"p{number},human,,\n" for number in range(10_000)), ["the manifest has 10000 projects"]),
        (HEAD + "a,human,,\nb,ai,\udce9,\n", ["line 3", "not UTF-8"]),
    ],
)
async def test_bad_manifest_is_one_line_and_needs_no_server(
    no_services: System, tmp_path: Path, manifest: str, words: list[str]
) -> None:
    path = Path(write(tmp_path, ""))
    path.write_bytes(manifest.encode("utf-8", "surrogateescape"))
    assert_error_line(await no_services.run("evaluate", str(path)), 2, *words)


async def test_arguments_that_do_not_fit_are_refused(cli: System, local_user: UUID) -> None:
    missing, without_format, both, unknown = await asyncio.gather(
        cli.run("evaluate", "nowhere.csv"),
        cli.run("evaluation", "12ab", "--output", "x"),
        cli.run("evaluation", "12ab", "--format", "csv", "--json"),
        cli.run("evaluation", "12ab"),
    )
    assert_error_line(missing, 2, "nowhere.csv cannot be read")
    assert_error_line(without_format, 2, "--output needs --format")
    assert_error_line(both, 2, "--json and --format exclude each other")
    assert_error_line(unknown, 2, "there is no evaluation 12ab", "vibe8 evaluations")
    listed = await cli.run("evaluations")
    assert listed.out == "no evaluations\n"
