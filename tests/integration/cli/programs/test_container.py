"""What the container image runs: the installed wheel with the image's own commands, as an unprivileged user."""

import asyncio
import json
import re
import socket
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from domain.jobs import JobStatus
from infrastructure.embedded.server_process import RunAs, can_run, server_user
from tests.fixtures.jobs import slow_source
from tests.fixtures.processes import job_scratch
from tests.fixtures.servers import Servers, temporary_directory
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import (
    TIMEOUT_SECONDS,
    System,
    WorkerProcess,
    new_system,
    until_finished,
    worker_process,
)
from tests.unit.deploy.project_files import ROOT, documents
from worker.client import Client

(COMPOSE,) = documents(ROOT / "docker-compose.yml")
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PACKAGES = {"worker", "collectors", "domain", "infrastructure"}


def dockerfile_environment() -> dict[str, str]:
    block = re.search(r"^ENV ((?:.*\\\n)*.*)", DOCKERFILE, re.MULTILINE)
    assert block is not None
    return dict(pair.split("=", 1) for pair in block.group(1).replace("\\\n", " ").split())


def dockerfile_command(pattern: str) -> list[str]:
    words = re.search(pattern, DOCKERFILE, re.MULTILINE)
    assert words is not None
    return list(json.loads(words.group(1)))


def compose_environment(service: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the service, with Compose's substitutions applied."""

    def substituted(match: re.Match[str]) -> str:
        name, kind, words = match.groups()
        if name in given:
            return given[name]
        assert kind == ":-", f"{name} must be given"
        return words

    values = COMPOSE["services"][service]["environment"]
    return {name: re.sub(r"\$\{(\w+)(:-|:\?)([^}]*)\}", substituted, str(value)) for name, value in values.items()}


@pytest.fixture(scope="module")
def build_directory() -> Iterator[Path]:
    with temporary_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def wheel(build_directory: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--target",
        "wheel",
        "--directory",
        str(build_directory / "dist"),
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = (build_directory / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def venv(build_directory: Path, wheel: Path) -> Path:
    """A new environment with the wheel, which shares the dependencies of the tests' environment."""
    target = build_directory / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(target)], check=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(target / "bin" / "python")]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    (packages,) = target.glob("lib/*/site-packages")
    # .pth files in a directory that a .pth file adds are not read, so the checkout's editable install is not found.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return target


@dataclass(frozen=True)
class Container:
    """The environment of a service, pointed at the tests' servers, and the user that it runs as."""

    environment: Mapping[str, str]
    directory: Path
    run_as: RunAs
    venv: Path

    def argv(self, command: list[str]) -> list[str]:
        return [str(self.venv / "bin" / command[0]), *command[1:]]

    async def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(self._run, command)

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        options: dict[str, Any] = self.run_as.options()
        return subprocess.run(
            self.argv(command),
            env=dict(self.environment),
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
            **options,
        )


@pytest.fixture
def running(empty_database_url: str, redis_url: str, servers: Servers, tmp_path: Path) -> System:
    """The system as the test uses it, outside the container."""
    return new_system(empty_database_url, redis_url, tmp_path)


@pytest.fixture
def container(build_directory: Path, venv: Path, running: System) -> Container:
    nobody = server_user()  # for tests that run as root: an unprivileged user that PostgreSQL's socket accepts
    run_as = nobody if can_run(venv / "bin" / "vibe8", nobody) else RunAs()
    scratch, home = (Path(tempfile.mkdtemp(dir=build_directory)) for _ in range(2))
    for directory in (scratch, home):
        run_as.chown(directory)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    given = {"POSTGRES_PASSWORD": "p", "REDIS_PASSWORD": "r"}
    local_values = {  # what differs from the image on this machine
        "PATH": f"{venv / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "DATABASE_URL": running.environment["DATABASE_URL"],
        "REDIS_URL": running.environment["REDIS_URL"],
        "SCRATCH_DIR": str(scratch),
        "STATUS_HOST": "127.0.0.1",
        "STATUS_PORT": str(port),
    }
    environment = {**dockerfile_environment(), **compose_environment("worker", given), **local_values}
    return Container(environment=environment, directory=home, run_as=run_as, venv=venv)


def test_wheel_contains_the_packages_only(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES
    assert any(re.fullmatch(r"infrastructure/database/migrations/versions/.*\.py", name) for name in names)
    assert not [name for name in names if "__pycache__" in name or "/test" in name]


async def test_container_runs_the_installed_wheel(container: Container) -> None:
    code = (
        "import collectors, domain, infrastructure, worker; print(*(m.__path__[0] for m in "
        "(collectors, domain, infrastructure, worker)))"
    )
    done = await container.run(["python", "-c", code])
    assert done.returncode == 0, done.stderr
    paths = done.stdout.split()
    assert len(paths) == len(PACKAGES)
    assert all(Path(path).is_relative_to(container.venv) for path in paths)


def worker_of(container: Container, log_file: Path) -> AbstractAsyncContextManager[WorkerProcess]:
    command = dockerfile_command(r"^CMD (\[.*\])$")
    assert command == COMPOSE["services"]["worker"]["command"]
    options: dict[str, Any] = container.run_as.options()
    return worker_process(
        container.argv(command),
        log_file,
        env=dict(container.environment),
        cwd=container.directory,
        **options,
    )


async def test_container_migrates_works_and_drains(container: Container, running: System, tmp_path: Path) -> None:
    healthcheck = dockerfile_command(r"^HEALTHCHECK .*? CMD (\[.*\])$")
    assert (await container.run(healthcheck)).returncode != 0
    for text in ("the schema went from nothing to", "the schema is up to date"):
        migrated = await container.run(COMPOSE["services"]["migrate"]["command"])
        assert (migrated.returncode, migrated.stderr) == (0, "")
        assert migrated.stdout.startswith(text)

    async with worker_of(container, tmp_path / "worker.log") as worker, Client.open(running.settings) as client:
        healthy = await container.run(healthcheck)
        assert (healthy.returncode, healthy.stderr) == (0, "")
        user_id = await client.get_or_create_user("ann@example.org")
        quick = await client.submit_upload(user_id, filename="code.py", content=b"import os\n")
        assert (await until_finished(client, user_id, quick.job_id)).status is JobStatus.COMPLETED
        slow = await client.submit_upload(user_id, filename="slow.py", content=slow_source())
        in_container = System(environment=container.environment, directory=tmp_path)
        await until(lambda: job_scratch(in_container))
        assert await worker.stop() == 0  # within the grace period, or the job would have been requeued
        assert (await client.get_job(user_id, slow.job_id)).status is JobStatus.COMPLETED
    assert [entry["event"] for entry in worker.log()][-2:] == ["job.completed", "worker.stopped"]
    assert all(json.loads(line) for line in worker.log_file.read_text().splitlines())
    assert list(Path(container.environment["SCRATCH_DIR"]).iterdir()) == []
    assert list(container.directory.iterdir()) == []
    assert (await container.run(healthcheck)).returncode != 0
