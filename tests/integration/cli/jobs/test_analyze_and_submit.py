"""`analyze` and `submit --wait` give the same result for each kind of source."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.archives import make_zip
from tests.fixtures.command_server import with_forked_commands
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.jobs import findings_alone
from tests.fixtures.network.git_server import GitServer
from tests.fixtures.worker_process import COMMAND, CommandResult, System, WorkerProcess
from tests.integration.cli.command_support import METRIC_NAMES, assert_error_line

TOKEN = "t0ken-of-a-private-repository"
CODE = '"""A module."""\n\nimport os\n\n\ndef run(command):\n    """Run it."""\n    os.system(command)\n'
SAME_KEYS = ("metrics", "file_tree", "errors", "completeness", "tool_versions")


@pytest.fixture(autouse=True)
def repositories(git_server: GitServer, tmp_path: Path) -> None:
    """Serve one repository with two branches, without and with a token."""
    tree = WorkTree(tmp_path / "served")
    tree.commit("one", a_py=CODE)
    tree.git("branch", "old")
    tree.commit("two", b_py="import a\n")
    git_server.add("owner/public", tree.dot_git)
    git_server.add("owner/private", tree.dot_git, token=TOKEN)


@pytest.fixture
def git_cli(git_system: System) -> System:
    """Like `cli`, but with the git host allowed."""
    return with_forked_commands(git_system)


@pytest.fixture
async def git_worker(git_system: System) -> AsyncIterator[WorkerProcess]:
    async with git_system.worker() as worker:
        yield worker


async def analyze_and_submit(
    git_cli: System, *source: str, **environment: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the results of `analyze` and of `submit --wait`, and assert that all that is measured is the same."""
    analyzed, submitted = await asyncio.gather(
        git_cli.run("analyze", *source, "--json", **environment),
        git_cli.run("submit", *source, "--wait", "--json", **environment),
    )
    for finished in (analyzed, submitted):
        assert (finished.code, finished.error) == (0, "")
    for part in SAME_KEYS:
        assert analyzed.document[part] == submitted.document[part], part
    assert analyzed.document["findings"] == findings_alone(submitted.document["findings"])
    assert set(analyzed.document) == set(submitted.document)
    assert analyzed.document["job"] is None
    assert submitted.document["job"]["status"] == "completed"
    assert set(analyzed.document["metrics"]) == METRIC_NAMES
    return analyzed.document, submitted.document


async def test_file_and_archive(git_cli: System, git_worker: WorkerProcess, tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(CODE)
    (tmp_path / "code.ZIP").write_bytes(make_zip({"src/a.py": CODE, "src/b.py": "import a\n"}))
    started = datetime.now(UTC)
    analyzed, submitted = await analyze_and_submit(git_cli, "code.py")
    revision = {"git_branch": None, "git_commit_sha": None}
    place = {"kind": "upload", "path": "code.py", "project_name": "code.py"}
    at = analyzed["source"].pop("created_at")
    assert analyzed["source"] == {**place, **revision}
    assert started <= datetime.fromisoformat(at) <= datetime.now(UTC)
    assert datetime.fromisoformat(at).tzinfo == UTC
    assert submitted["source"]["upload_filename"] == "code.py"
    assert analyzed["metrics"]["size"]["files"] == 1
    analyzed, _ = await analyze_and_submit(git_cli, "code.ZIP")
    assert analyzed["metrics"]["size"]["files"] == 2
    assert analyzed["metrics"]["churn"]["total_commits"] is None


async def test_chosen_files_and_collectors(git_cli: System, git_worker: WorkerProcess, tmp_path: Path) -> None:
    (tmp_path / "code.zip").write_bytes(make_zip({"src/a.py": CODE, "src/old/b.py": CODE, "tests/c.py": CODE}))
    chosen = ("--collectors", "lint,security", "--collectors", "churn", "--include", "src/", "--exclude", "**/old")
    analyzed, submitted = await analyze_and_submit(git_cli, "code.zip", *chosen)
    options = {"collectors": ["churn", "lint", "security"], "include": ["src"], "exclude": ["**/old"]}
    assert analyzed["options"] == submitted["options"] == submitted["job"]["options"] == options
    assert {node["path"] for node in analyzed["findings"]["items"]} == {"src/a.py"}
    assert analyzed["completeness"]["collectors"]["docs"] == "not_requested"
    text = (await git_cli.run("analyze", "code.zip", *chosen)).out
    assert "not requested" in text
    assert "2 Python files left out by --include and --exclude" in text
    for wrong, *words in (
        (("--collectors", "lynt"), "unknown metric 'lynt'", "there are churn, "),
        (("--collectors", ","), "at least one metric"),
        (("--exclude", "/tests"), "must be relative"),
    ):
        assert_error_line(await git_cli.run("analyze", "code.zip", *wrong), 2, *words)
    assert_error_line(await git_cli.run("submit", "code.zip", "--tag", "web"), 2, "must be category=value")
    nothing = await git_cli.run("analyze", "code.zip", "--include", "lib")
    assert nothing.code == 2
    assert "include and exclude leave out 3 of its files" in nothing.error.splitlines()[-1]


async def test_options_of_a_file_of_sources_are_those_of_each(git_cli: System, tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(CODE)
    (tmp_path / "sources.jsonl").write_text('{"source": "code.py"}\n{"source": "code.py"}\n')
    chosen = ("--collectors", "lint", "--tag", "Domain=Web", "--json")
    submitted = await git_cli.run("submit", "--from", "sources.jsonl", *chosen)
    assert [job["options"] for job in submitted.document] == [{"collectors": ["lint"], "tags": {"domain": ["web"]}}] * 2


async def test_analyze_prints_an_export(git_cli: System, tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(CODE)
    exported = await git_cli.run("analyze", "code.py", "--format", "csv")
    assert (exported.code, exported.error) == (0, "")
    assert exported.out.startswith("metric,rule,severity,path,line,")
    assert "\nsecurity,B605,high,code.py,8,5,8,23,run," in exported.out
    reported = await git_cli.run("analyze", "code.py", "--format", "html")
    assert (reported.code, reported.error) == (0, "")
    assert reported.out.startswith("<!DOCTYPE html>")
    assert "<code>code.py:8:5</code>" in reported.out
    assert "<title>code.py - vibe8 report</title>" in reported.out
    assert re.search(r"<dt>Analysed</dt><dd>(<[^>]*>)?20\d\d-\d\d-\d\d \d\d:\d\d UTC", reported.out)
    drawn = await git_cli.run("analyze", "code.py", "--format", "badge")
    assert f"vibe8 quality of code.py on {datetime.now(UTC):%Y-}" in drawn.out


async def test_directory_with_and_without_history(git_cli: System, git_worker: WorkerProcess, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "a.py").write_text(CODE)
    analyzed, submitted = await analyze_and_submit(git_cli, "plain")
    assert (analyzed["source"]["kind"], analyzed["source"]["project_name"]) == ("directory", "plain")
    assert submitted["source"]["upload_filename"] == "plain.zip"
    assert analyzed["metrics"]["churn"]["total_commits"] is None

    tree = WorkTree(tmp_path / "tree")
    tree.commit("one", a_py=CODE)
    tree.commit("two", a_py=CODE + "x = 1\n")
    tree.write("a.py", CODE)  # not committed: the file on disk is analysed
    analyzed, _ = await analyze_and_submit(git_cli, "tree")
    assert analyzed["metrics"]["churn"]["total_commits"] == 2
    assert analyzed["metrics"]["size"]["sloc"] == 3  # that of HEAD has 4
    assert (analyzed["source"]["git_branch"], analyzed["source"]["git_commit_sha"]) == ("main", tree.head())


async def test_history_that_is_too_large_is_left_out_with_a_word(git_cli: System, tmp_path: Path) -> None:
    tree = WorkTree(tmp_path / "tree")
    tree.write("noise.bin", os.urandom(2 * 1024 * 1024))
    tree.commit("one", a_py=CODE)
    submitted, silent = await asyncio.gather(
        git_cli.run("submit", "tree", "--json", MAX_UPLOAD_MB="1"),
        git_cli.run("submit", "tree", "--json", "--no-history", MAX_UPLOAD_MB="1"),
    )
    assert (submitted.code, submitted.document["status"], silent.code, silent.error) == (0, "pending", 0, "")
    (line,) = submitted.error.splitlines()
    assert line.startswith("vibe8: tree: the git history is left out: with it the upload is larger than 1 MB")


async def test_working_directory_is_analysed_but_not_imported(git_cli: System, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    names = ("worker.py", "rich.py", "infrastructure.py", "ast.py", "sitecustomize.py")
    for name in names:
        (project / name).write_text(f"raise SystemExit({name!r})\n")
    inside = System(environment=git_cli.environment, directory=project)
    # As with the installed script, modules of the working directory cannot be imported.
    finished = await inside.run("analyze", ".", "--json", PYTHONSAFEPATH="1")
    assert (finished.code, finished.error) == (0, "")
    assert finished.document["metrics"]["size"]["files"] == len(names)
    assert finished.document["source"]["project_name"] == "project"


async def test_public_repository(git_cli: System, git_worker: WorkerProcess, git_server: GitServer) -> None:
    analyzed, submitted = await analyze_and_submit(git_cli, git_server.url("owner/public"))
    assert analyzed["metrics"]["churn"]["total_commits"] == 2
    assert analyzed["source"]["project_name"] == "owner/public"
    assert analyzed["source"]["git_repo_url"] == submitted["source"]["git_repo_url"] == git_server.url("owner/public")
    assert (analyzed["source"]["git_branch"], submitted["source"]["git_branch"]) == ("main", "main")
    assert analyzed["source"]["git_commit_sha"] == submitted["source"]["git_commit_sha"]
    analyzed, _ = await analyze_and_submit(git_cli, git_server.url("owner/public"), "--branch", "old")
    assert analyzed["metrics"]["churn"]["total_commits"] == 1


async def test_private_repository_needs_its_token(
    git_cli: System, git_worker: WorkerProcess, git_server: GitServer, tmp_path: Path
) -> None:
    url = git_server.url("owner/private")
    analyzed, submitted = await analyze_and_submit(
        git_cli, url, VIBE8_GIT_TOKEN=f"{TOKEN}\n"
    )  # the newline is stripped
    assert analyzed["metrics"]["churn"]["total_commits"] == 2
    assert submitted["job"]["source_metadata"]["has_token"] is True
    for text in (str(analyzed), str(submitted), git_worker.log_file.read_text()):
        assert TOKEN not in text
    without, refused = await asyncio.gather(
        git_cli.run("analyze", url, "--json"), git_cli.run("submit", url, "--wait", "--json")
    )
    assert without.code == 2
    assert without.error.splitlines()[-1].startswith("vibe8: authentication required")
    assert refused.code == 1
    assert "authentication required" in refused.document["errors"][0]
    keyless = await git_cli.run("submit", url, VIBE8_GIT_TOKEN=TOKEN, TOKEN_ENCRYPTION_KEYS="")
    assert_error_line(keyless, 2, "TOKEN_ENCRYPTION_KEYS")


async def test_missing_repository_or_branch_is_an_error(
    git_cli: System, git_worker: WorkerProcess, git_server: GitServer
) -> None:
    missing, no_branch = git_server.url("owner/missing"), (git_server.url("owner/public"), "--branch", "nowhere")
    finished: tuple[CommandResult, ...] = await asyncio.gather(
        git_cli.run("submit", missing, "--wait"),
        git_cli.run("submit", *no_branch, "--wait"),
        git_cli.run("analyze", missing),
        git_cli.run("analyze", *no_branch),
    )
    assert [each.code for each in finished] == [1, 1, 2, 2]
    for each, word in zip(finished, ("not found", "nowhere", "not found", "nowhere"), strict=True):
        assert each.out == ""
        last = each.error.splitlines()[-1]
        assert last.startswith("vibe8: ")
        assert word in last


async def test_failed_job_exits_with_1(git_cli: System, git_worker: WorkerProcess, tmp_path: Path) -> None:
    (tmp_path / "without.zip").write_bytes(make_zip({"README": "x"}))
    plain, as_json = await asyncio.gather(
        git_cli.run("submit", "without.zip", "--wait"), git_cli.run("submit", "without.zip", "--wait", "--json")
    )
    assert (plain.code, plain.out) == (1, "")
    assert plain.error.splitlines()[-1].endswith("failed: the archive has no Python file to analyse")
    job_id = plain.error.splitlines()[-1].split()[2]
    again = await git_cli.run("retry", job_id[:12])  # it stays, so that it can be retried
    assert again.out == f"{job_id} is pending again\n"
    assert (as_json.code, as_json.error) == (1, "")
    assert as_json.document["errors"] == ["the archive has no Python file to analyse"]
    assert as_json.document["job"]["status"] == "failed"
    assert as_json.document["metrics"] is None


async def test_upload_limit_follows_the_setting(git_cli: System, tmp_path: Path) -> None:
    (tmp_path / "wide").mkdir()
    for number in range(4):
        (tmp_path / "wide" / f"{number}.py").write_bytes(b"#" + os.urandom(1536 * 1024))  # random bytes do not compress
    (tmp_path / "big.zip").write_bytes(make_zip({"a.py": "#", "b.bin": os.urandom(6 * 1024 * 1024)}))
    for source in ("wide", "big.zip"):
        refused, taken = await asyncio.gather(
            git_cli.run("submit", source), git_cli.run("submit", source, MAX_UPLOAD_MB="7")
        )
        assert_error_line(refused, 2, "larger than 5 MB (MAX_UPLOAD_MB)")
        assert taken.code == 0, taken.error


async def test_analyze_needs_no_service_and_no_environment(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(CODE)
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "analyze",
        "a.py",
        env={},
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    assert process.returncode == 0, error
    assert {line.split()[0] for line in out.decode().splitlines() if line} >= METRIC_NAMES
    assert error.decode().splitlines() == ["fetching ...", "collecting ...", "summarizing ..."]
