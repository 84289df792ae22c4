"""The client's wheel in an environment with httpx alone, used by a project with packages of our names."""

import asyncio
import importlib.metadata
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from packaging.requirements import Requirement

from domain.sources import Authorship
from tests.fixtures.archives import make_zip
from tests.fixtures.network.http_service import RunningService, new_key
from tests.fixtures.worker_process import TIMEOUT_SECONDS, WorkerProcess, until_finished
from tests.unit.deploy.project_files import ROOT
from worker.client import Client as OwnClient

PROJECT = ROOT / "clients" / "python"
OUR_PACKAGES = ("worker", "domain", "infrastructure", "collectors")

PROGRAM = """
import domain
import worker.tasks
{readme}
"""
"""Its own packages are imported first; then comes the program of the README."""

WITHOUT_IMPORT, WITH_IMPORT = {"a.py": "x = 1\n"}, {"a.py": "import os\n\nx = 1\n"}


def readme_blocks(kind: str) -> list[str]:
    """Return the blocks of this kind in the client's README."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", (PROJECT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return [text for each, text in found if each == kind]


def needed(name: str) -> Iterator[str]:
    """Yield the distribution's name and what it needs without extras, with repetitions."""
    yield name
    for text in importlib.metadata.requires(name) or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield from needed(requirement.name)


def copy_distribution(name: str, site_packages: Path) -> None:
    for file in importlib.metadata.files(name) or ():
        source = Path(str(file.locate()))
        if file.parts[0] != ".." and "__pycache__" not in file.parts and source.is_file():
            target = site_packages / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has the wheel, httpx and what httpx needs. No index is asked."""
    directory = tmp_path_factory.mktemp("client")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
    (wheel,) = directory.glob("*.whl")
    venv.create(directory / "env", symlinks=True)
    (site_packages,) = (directory / "env").glob("lib/python*/site-packages")
    for name in {*needed("httpx")}:
        copy_distribution(name, site_packages)
    found = directory / "env" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(found), "install", "--quiet", "--no-index", str(wheel)]
    subprocess.run([*pip, "--disable-pip-version-check"], check=True, capture_output=True)
    return found


def test_the_wheel_has_types_and_nothing_of_ours(python: Path) -> None:
    (site_packages,) = python.parent.parent.glob("lib/python*/site-packages")
    metadata = (next(site_packages.glob("vibe8_client-*")) / "METADATA").read_text()
    assert [line for line in metadata.splitlines() if line.startswith("Requires-Dist")] == [
        "Requires-Dist: httpx>=0.27"
    ]
    assert (site_packages / "vibe8" / "py.typed").exists()
    assert not [name for name in (*OUR_PACKAGES, "clients", "tests") if (site_packages / name).exists()]


async def test_a_project_with_packages_of_our_names_submits_waits_reads_and_gates(
    python: Path, service: RunningService, worker: WorkerProcess, client: OwnClient, user_id: UUID, tmp_path: Path
) -> None:
    before = await client.submit_upload(
        user_id,
        filename="code.zip",
        content=make_zip(WITHOUT_IMPORT),
        authorship=Authorship(project_name="shop", author_type=None, author_model=None),
    )
    project = tmp_path / "shop"
    for package in ("worker", "domain"):
        (project / package).mkdir(parents=True)
        (project / package / "__init__.py").write_text("")
    (project / "worker" / "tasks.py").write_text("")
    [program], [output] = readme_blocks("python"), readme_blocks("")
    (project / "check.py").write_text(PROGRAM.format(readme=program))
    (project / "code.zip").write_bytes(make_zip(WITH_IMPORT))
    await until_finished(client, user_id, before.job_id)
    environment = {"VIBE8_ADDRESS": service.address, "VIBE8_KEY": await new_key(client, user_id)}
    process = await asyncio.create_subprocess_exec(
        python, "check.py", cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    async with asyncio.timeout(TIMEOUT_SECONDS):
        out, error = await process.communicate()
    assert (process.returncode, out.decode()) == (1, output), error.decode()
    assert error.decode().splitlines()[-1] == "completed 100 None"
