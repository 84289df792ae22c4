"""`vibe8 repo`: from registration to the second run's comparison, against a real git server and a real worker."""

import json
from uuid import UUID

import pytest

from tests.fixtures.command_server import with_forked_commands
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.network.git_server import GitServer
from tests.fixtures.worker_process import System
from tests.integration.cli.command_support import assert_error_line
from worker.client import Client

URL = "https://github.com/owner/repo"


async def test_a_push_is_analysed_and_compared(
    git_system: System, git_server: GitServer, git_client: Client, two_commit_tree: WorkTree
) -> None:
    cli = with_forked_commands(git_system)
    url = git_server.add("owner/watched", two_commit_tree.dot_git)
    await git_client.get_or_create_user("local@localhost")
    async with git_system.worker() as worker:
        added = await cli.run("repo", "add", url, "--schedule", "daily", "--tag", "domain=web", "--wait", "--json")
        assert added.code == 0, added.error
        first = two_commit_tree.head()
        assert added.document["heads"] == {"main": first}
        assert (added.document["analysis_status"], added.document["tags"]) == ("completed", {"domain": ["web"]})
        assert (await cli.run("repo", "check", url, "--wait")).code == 0
        second = two_commit_tree.commit(a_py="import os\nos.system('x')\n")
        checked = await cli.run("repo", "check", added.document["id"][:9], "--wait", "--json")
        assert checked.document["heads"] == {"main": second}
        runs = (await cli.run("runs", "--project", url, "--json")).document
        assert [run["source"]["git_commit_sha"] for run in runs] == [second, first]
        compared = await cli.run("compare", runs[0]["source"]["run_id"])
        assert compared.code == 0
        assert "security" in compared.out
        moved = await worker.until("repository.moved", 2)
        assert len([entry for entry in moved if entry["event"] == "repository.moved"]) == 2
    shown = await cli.run("repo", "show", url)
    assert f"heads          main {second[:8]}" in shown.out
    assert "status         completed" in shown.out


async def test_a_failed_check_is_told_and_ends_with_1(git_system: System, git_server: GitServer) -> None:
    cli = with_forked_commands(git_system)
    async with git_system.worker():
        added = await cli.run("repo", "add", git_server.url("owner/nothing"), "--wait")
        assert added.code == 1
        assert "repository not found" in added.error
    listed = await cli.run("repo", "list", "--status", "failed")
    assert "repository not found" in listed.out


async def test_each_command_prints_text_and_json(cli: System, client: Client, local_user: UUID) -> None:
    assert (await cli.run("repo", "list")).out == "no repositories\n"
    added = (await cli.run("repo", "add", URL, "--public", "--branch", "main", "--exclude", "docs", "--json")).document
    settings = {"branches": ["main"], "exclude": ["docs"], "public": True}
    assert (added["settings"], added["schedule"], added["has_token"]) == (settings, None, False)
    updated = await cli.run(
        "repo", "update", URL, "--schedule", "*/15 * * * *", "--branch", "dev", "--private", "--token", "--json",
        VIBE8_GIT_TOKEN="s3cret",
    )  # fmt: skip
    assert updated.document["settings"] == {"branches": ["dev"], "exclude": ["docs"]}
    assert (updated.document["schedule"], updated.document["has_token"]) == ("*/15 * * * *", True)
    assert "s3cret" not in updated.out
    hook = (await cli.run("repo", "hook", added["id"], "--json")).document
    assert hook["path"].endswith(f"/hooks/{added['id']}")
    again = await cli.run("repo", "hook", added["id"])
    assert again.out.splitlines()[0] not in ("", hook["secret"])
    followed = await cli.run("repo", "follow", URL)
    assert "is never told" in followed.out
    assert added["id"] in (await cli.run("repo", "list", "--followed")).out
    assert json.loads((await cli.run("repo", "list", "--trending", "--json")).out) == []  # not counted yet
    assert "no longer follows" in (await cli.run("repo", "unfollow", URL)).out
    listed = await cli.run("repo", "list")
    heading, row = listed.out.splitlines()
    assert heading.split()[:3] == ["id", "status", "schedule"]
    assert row.split()[:2] == [added["id"][:8], "pending"]
    cleared = await cli.run("repo", "update", URL, "--schedule", "", "--branch", "", "--no-token", "--json")
    assert (cleared.document["schedule"], cleared.document["has_token"]) == (None, False)
    assert cleared.document["settings"] == {"exclude": ["docs"]}
    assert (await cli.run("repo", "remove", URL)).out == f"removed {URL}; its runs stay\n"
    assert await client.repositories.list(local_user) == []


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("add", URL, "--schedule", "* * * * * *"), "five fields"),
        (("add", URL, "--schedule", "0 0 30 2 *"), "schedule"),
        (("add", URL, "--tag", "domain"), "category=value"),
        (("add", "git@github.com:a/b"), "https://"),
        (("show", "abcd"), "there is no tracked repository"),
        (("update", URL, "--token"), "there is no tracked repository"),
        (("follow", "00000000-0000-0000-0000-000000000000"), "there is no tracked repository"),
        (("follow", URL, "--when", "end"), "notify_url"),
        (("list", "--trending", "--tag", "a=b"), "stand alone"),
    ],
)
async def test_bad_input_is_one_line(cli: System, local_user: UUID, arguments: tuple[str, ...], word: str) -> None:
    assert_error_line(await cli.run("repo", *arguments), 2, word)
