"""docs/ci.md: its files are valid for GitHub and GitLab, and what they run works with a real service and a worker."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fixtures.git_repository import WorkTree
from tests.fixtures.network.http_service import RunningService, new_key
from tests.fixtures.worker_process import TIMEOUT_SECONDS, System, WorkerProcess
from tests.unit.deploy.project_files import ROOT
from worker.client import Client

PAGE = (ROOT / "docs/ci.md").read_text()
SCRIPT = ROOT / "examples/ci/vibe8.sh"
GITHUB, GITLAB = "vendor.github-workflows", "vendor.gitlab-ci"
INSTALLS = {"pip install vibe8.whl", "apk add --no-cache curl git"}
"""What is not run here: it would change this machine."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def files() -> list[tuple[str, str]]:
    """Return the YAML files of the page, each with the schema that it must meet."""
    return [(GITHUB if "\njobs:" in text else GITLAB, text) for text in blocks("yaml")]


def lines_of(schema: str, document: Mapping[Any, Any]) -> list[str]:
    """Return what a file runs on the runner."""
    jobs = document["jobs"].values() if schema == GITHUB else document.values()
    if schema == GITHUB:
        return [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    return [line for job in jobs for part in ("before_script", "script") for line in job[part]]


def test_the_page_has_two_files_for_each_system() -> None:
    assert sorted(schema for schema, _ in files()) == [GITHUB] * 2 + [GITLAB] * 2


@pytest.mark.parametrize(("schema", "text"), files(), ids=["github", "gitlab", "github-local", "gitlab-local"])
def test_the_files_meet_the_schemas_of_their_systems(schema: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "file.yml"
    options = ["--data-transform", "gitlab-ci"] if schema == GITLAB else []
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *options, str(file)]
    file.write_text(text)
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    file.write_text(text.replace("steps:", "stepz:").replace("script:", "skript:"))
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1, "the check finds nothing"


def checkout(directory: Path) -> WorkTree:
    """Make a repository as CI checks it out, with the example's script in it."""
    tree = WorkTree(directory / "checkout")
    (tree.path / "ci").mkdir()
    shutil.copy(SCRIPT, tree.path / "ci/vibe8.sh")
    tree.commit("one", a_py='"""A module."""\n\nimport os\n')
    return tree


async def run_lines(lines: Sequence[str], tree: WorkTree, environment: Mapping[str, str]) -> None:
    for line in lines:
        if line in INSTALLS:
            continue
        process = await asyncio.create_subprocess_exec(
            "sh", "-euc", line, cwd=tree.path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        async with asyncio.timeout(TIMEOUT_SECONDS):
            out, _ = await process.communicate()
        assert process.returncode == 0, f"{line}\n{out.decode()}"


@pytest.fixture
async def environment(
    system: System, service: RunningService, worker: WorkerProcess, client: Client, tmp_path: Path
) -> Mapping[str, str]:
    """What the page says that the CI system sets, and this program on the PATH."""
    key = await new_key(client, await client.get_or_create_user("ci@example.org"))
    for name in ("runner", "builds"):
        (tmp_path / name).mkdir()
    return system.process_environment(
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        VIBE8_URL=service.address,
        VIBE8_KEY=key,
        VIBE8_PIN="1",
        RUNNER_TEMP=str(tmp_path / "runner"),
        CI_BUILDS_DIR=str(tmp_path / "builds"),
    )


async def test_what_the_files_run_leaves_the_files_that_they_upload(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    tree = checkout(tmp_path)
    base = tree.head()
    tree.commit("two", b_py='"""Another module."""\n')
    bases = {"BASE": base, "CI_MERGE_REQUEST_DIFF_BASE_SHA": base}
    for schema, text in files():
        await run_lines(lines_of(schema, yaml.safe_load(text)), tree, {**environment, **bases})
        for named in {name for name in ("vibe8.sarif", "gl-code-quality-report.json", "vibe8.svg") if name in text}:
            (tree.path / named).unlink()


async def test_the_blocks_for_a_shell_work(environment: Mapping[str, str], tmp_path: Path) -> None:
    tree = checkout(tmp_path)
    shell = blocks("sh")
    key, steps, repository, command = shell
    assert key.startswith("vibe8 keys create")
    await run_lines([key, steps], tree, environment)
    assert (tree.path / "vibe8.sarif").stat().st_size > 1_000
    accepted = f"{steps.splitlines()[0]}\n{repository.strip()} | jq -er .job_id"
    await run_lines([accepted, command], tree, environment)
