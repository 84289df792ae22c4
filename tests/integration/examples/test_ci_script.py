"""examples/ci/vibe8.sh with the real service: submit, wait, exports, gate, and every way in which it fails."""

import asyncio
import json
import os
import shutil
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fixtures.git_repository import WorkTree
from tests.fixtures.network.http_service import RunningService, new_key
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import TIMEOUT_SECONDS, System, WorkerProcess
from tests.unit.deploy.project_files import ROOT
from worker.client import Client

SCRIPT = ROOT / "examples/ci/vibe8.sh"
CLEAN = (
    '"""A module."""\n\n\ndef double(number: int) -> int:\n    """Return twice the number."""\n    return 2 * number\n'
)
UNSAFE = CLEAN + '\n\ndef run(text: str) -> object:\n    """Run it."""\n    return eval(text)\n'


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    error: str


@dataclass(frozen=True)
class Script:
    """The script in a checkout, with its environment."""

    tree: WorkTree
    environment: Mapping[str, str]

    async def start(self, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "sh",
            str(SCRIPT),
            *arguments,
            cwd=self.tree.path,
            env={**self.environment, **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str, **environment: str) -> Ended:
        process = await self.start(*arguments, **environment)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            out, error = await process.communicate()
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), error.decode())


@pytest.fixture
async def script(system: System, service: RunningService, client: Client, tmp_path: Path) -> Script:
    tree = WorkTree(tmp_path / "my project")
    tree.commit("one", a_py=CLEAN)
    key = await new_key(client, await client.get_or_create_user("ci@example.org"))
    environment = {"PATH": os.environ["PATH"], "VIBE8_URL": f"{service.address}/", "VIBE8_KEY": key}
    return Script(tree, environment)


async def test_a_rejected_commit_ends_with_4_and_its_report(
    script: Script, worker: WorkerProcess, client: Client
) -> None:
    first = await script.run("sarif=vibe8.sarif", VIBE8_PIN="1")
    assert (first.code, first.error) == (0, "")
    assert "NOT_EVALUATED, report at http://" in first.out
    sarif = script.tree.path / "vibe8.sarif"
    assert json.loads(sarif.read_bytes())["version"] == "2.1.0"
    sarif.unlink()

    script.tree.commit("two", a_py=UNSAFE)
    second = await script.run("sarif=vibe8.sarif", "gitlab=code quality.json")
    assert second.code == 4
    assert second.error == "vibe8: the quality gate rejects this commit\n"
    assert "eval" in second.out
    assert "eval" in sarif.read_text()
    assert json.loads((script.tree.path / "code quality.json").read_bytes())

    script.tree.commit("three", a_py=CLEAN)
    assert "APPROVED" in (await script.run()).out, "the pinned run is what it is compared with"
    user_id = await client.get_or_create_user("ci@example.org")
    runs = (await client.list_runs(user_id)).runs
    assert {run.origin.project_name for run in runs} == {"my project"}
    assert [run.pinned for run in runs] == [False, False, True]


async def test_a_failed_job_ends_with_1_and_its_reason(script: Script, worker: WorkerProcess) -> None:
    script.tree.git("rm", "-q", "a.py")
    script.tree.commit("no Python", **{"readme.txt": "nothing"})
    ended = await script.run("sarif=vibe8.sarif")
    assert ended.code == 1
    assert ended.error.startswith("vibe8: job ")
    assert " failed: " in ended.error
    assert len(ended.error.splitlines()) == 1
    assert not (script.tree.path / "vibe8.sarif").exists()


@pytest.mark.parametrize(
    ("environment", "arguments", "code", "message"),
    [
        ({"VIBE8_URL": ""}, (), 2, "set VIBE8_URL to the address"),
        ({"VIBE8_KEY": ""}, (), 2, "set VIBE8_KEY to an API key: vibe8 keys create"),
        ({"VIBE8_KEY": "v8_wrong"}, (), 2, "POST /jobs was answered 401: "),
        ({}, ("sarif",), 2, "sarif is no FORM=FILE"),
        ({"VIBE8_REPOSITORY": 'http://h/"a'}, (), 2, "422: the repository URL must start with https://"),
        ({"VIBE8_TIMEOUT": "0"}, (), 1, "has not ended after 0 s (VIBE8_TIMEOUT)"),
    ],
)
async def test_what_is_wrong_is_said_in_one_line(
    script: Script, environment: Mapping[str, str], arguments: tuple[str, ...], code: int, message: str
) -> None:
    ended = await script.run(*arguments, **environment)
    assert ended.code == code
    assert message in ended.error
    assert ended.error.startswith("vibe8: ")
    assert len(ended.error.splitlines()) == 1


async def test_a_service_that_is_away_ends_with_3(script: Script) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    ended = await script.run(VIBE8_URL=address)
    assert ended.code == 3
    assert ended.error.splitlines()[-1] == f"vibe8: {address} cannot be reached"


async def test_an_interrupted_script_cancels_its_job_and_leaves_no_file(
    script: Script, client: Client, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = await script.start(TMPDIR=str(temporary))
    user_id = await client.get_or_create_user("ci@example.org")

    async def submitted() -> bool:
        return len(await client.list_jobs(user_id)) == 1

    await until(submitted)
    assert process.stdout is not None
    assert (await process.stdout.readline()).startswith(b"vibe8: job ")
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert await process.wait() == 130
    (job,) = await client.list_jobs(user_id)
    assert (job.status, job.error_message) == ("failed", "cancelled by user")
    assert list(temporary.iterdir()) == []


def test_the_script_is_posix_sh() -> None:
    text = SCRIPT.read_text()
    assert text.startswith("#!/bin/sh\n")
    assert "\nset -eu\n" in text
    for of_bash in ("[[", "function ", "local ", "<<<", "$'", "==", "pipefail"):
        assert of_bash not in text, of_bash
    assert shutil.which("curl"), "this test needs curl"
