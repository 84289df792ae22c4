"""What the image runs, run here: the wheel in an environment of its own, its commands word for word, not as root."""

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
    """What the service gets, with Compose's own substitutions made."""

    def substituted(match: re.Match[str]) -> str:
        name, kind, words = match.groups()
        if name in given:
            return given[name]
        assert kind == ":-", f"{name} must be given"
        return words

    values = COMPOSE["services"][service]["environment"]
    return {name: re.sub(r"\$\{(\w+)(:-|:\?)([^}]*)\}", substituted, str(value)) for name, value in values.items()}


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with temporary_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def wheel(place: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(place / "dist")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = (place / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def venv(place: Path, wheel: Path) -> Path:
    """The wheel alone in a fresh environment, whose dependencies are those that the tests run with."""
    target = place / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(target)], check=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(target / "bin" / "python")]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    (packages,) = target.glob("lib/*/site-packages")
    # A directory that a .pth file names is searched, but its own .pth files are not read: not the checkout's either.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return target


@dataclass(frozen=True)
class Container:
    """A service's environment on this machine's servers, and as whom it runs."""

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
    """The servers as the test itself reaches them."""
    return new_system(empty_database_url, redis_url, tmp_path)


@pytest.fixture
def container(place: Path, venv: Path, running: System) -> Container:
    nobody = server_user()  # where we are root: not root, and known to PostgreSQL's socket
    run_as = nobody if can_run(venv / "bin" / "vibe8", nobody) else RunAs()
    scratch, home = (Path(tempfile.mkdtemp(dir=place)) for _ in range(2))
    for directory in (scratch, home):
        run_as.chown(directory)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    given = {"POSTGRES_PASSWORD": "p", "REDIS_PASSWORD": "r"}
    here = {  # what is another place on this machine
        "PATH": f"{venv / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "DATABASE_URL": running.environment["DATABASE_URL"],
        "REDIS_URL": running.environment["REDIS_URL"],
        "SCRATCH_DIR": str(scratch),
        "STATUS_HOST": "127.0.0.1",
        "STATUS_PORT": str(port),
    }
    environment = {**dockerfile_environment(), **compose_environment("worker", given), **here}
    return Container(environment=environment, directory=home, run_as=run_as, venv=venv)


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES
    assert any(re.fullmatch(r"infrastructure/database/migrations/versions/.*\.py", name) for name in names)
    assert not [name for name in names if "__pycache__" in name or "/test" in name]


async def test_the_checkout_is_not_what_runs(container: Container) -> None:
    code = (
        "import collectors, domain, infrastructure, worker; print(*(m.__path__[0] for m in "
        "(collectors, domain, infrastructure, worker)))"
    )
    done = await container.run(["python", "-c", code])
    assert done.returncode == 0, done.stderr
    assert all(Path(path).is_relative_to(container.venv) for path in done.stdout.split())


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


async def test_migrate_work_and_drain(container: Container, running: System, tmp_path: Path) -> None:
    healthcheck = dockerfile_command(r"^HEALTHCHECK .*? CMD (\[.*\])$")
    assert (await container.run(healthcheck)).returncode != 0
    for said in ("the schema went from nothing to", "the schema is up to date"):
        migrated = await container.run(COMPOSE["services"]["migrate"]["command"])
        assert (migrated.returncode, migrated.stderr) == (0, "")
        assert migrated.stdout.startswith(said)

    async with worker_of(container, tmp_path / "worker.log") as worker, Client.open(running.settings) as client:
        healthy = await container.run(healthcheck)
        assert (healthy.returncode, healthy.stderr) == (0, "")
        user_id = await client.get_or_create_user("ann@example.org")
        quick = await client.submit_upload(user_id, filename="code.py", content=b"import os\n")
        assert (await until_finished(client, user_id, quick.job_id)).status is JobStatus.COMPLETED
        slow = await client.submit_upload(user_id, filename="slow.py", content=slow_source())
        in_container = System(environment=container.environment, directory=tmp_path)
        await until(lambda: job_scratch(in_container))
        assert await worker.stop() == 0  # within the grace period, or it would have been handed back
        assert (await client.get_job(user_id, slow.job_id)).status is JobStatus.COMPLETED
    assert [entry["event"] for entry in worker.log()][-2:] == ["job.completed", "worker.stopped"]
    assert all(json.loads(line) for line in worker.log_file.read_text().splitlines())
    assert list(Path(container.environment["SCRATCH_DIR"]).iterdir()) == []
    assert list(container.directory.iterdir()) == []
    assert (await container.run(healthcheck)).returncode != 0
