"""PostgreSQL's disk full, and nobody else's: a PostgreSQL of its own, whose database is in a file system of 40 MB."""

import os
import shlex
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from domain.errors import ServiceUnavailableError
from domain.jobs import Job, JobStatus
from infrastructure.database.connecting import asyncpg_url
from infrastructure.database.migrate import upgrade
from infrastructure.embedded.server_process import RunAs, server_user
from infrastructure.embedded.servers import Postgres
from tests.faults.support.transition_audit import audited
from tests.fixtures.control.changed_worker import held_worker, release_jobs
from tests.fixtures.database import Rows
from tests.fixtures.jobs import PYTHON_FILE
from tests.fixtures.servers import in_thread, temporary_directory
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, new_system, until_finished
from worker.client import Client

MEGABYTES = 40
NAME = "on_small_disk"


@dataclass(frozen=True)
class Owner:
    """A client and a user."""

    client: Client
    user_id: UUID

    async def submit(self, filename: str, content: bytes) -> Job:
        return await self.client.submit_upload(self.user_id, filename=filename, content=content)


@contextmanager
def server_on_small_disk() -> Iterator[str]:
    """Run PostgreSQL with a small file system that only it sees, and a migrated database there; return its address.

    The file system is mounted in a user namespace, by root and by other users alike. Where the kernel allows no user
    namespaces the server does not start, and the test fails.
    """
    user = server_user()
    with temporary_directory() as directory:
        disk = directory / "disk"
        disk.mkdir()
        user.chown(disk)
        server = Postgres(directory, run_as=user, durable=False)
        start = server.process.start

        def start_in_namespaces(argv: Sequence[str], *, ready: Callable[[], bool]) -> None:
            start([*_namespaces(user, str(disk)), *argv], ready=ready)

        server.process.start = start_in_namespaces  # type: ignore[method-assign]
        server.start()
        try:
            in_thread(_create_database(server.url(), str(disk)))
            in_thread(upgrade(asyncpg_url(server.url(NAME))))
            yield server.url(NAME)
        finally:
            server.stop()


def _namespaces(user: RunAs, disk: str) -> list[str]:
    """Return the command that mounts the disk as a namespace's root, and goes on as the user, since PostgreSQL must."""
    uid, gid = (os.geteuid(), os.getegid()) if user.uid is None else (user.uid, user.gid)
    own = f"unshare --user --map-user={uid} --map-group={gid}"
    mount = f'mount -t tmpfs -o size={MEGABYTES}m,mode=700 tmpfs {shlex.quote(disk)} && exec {own} "$@"'
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]


async def _create_database(url: str, disk: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
    await connection.execute(f"CREATE DATABASE {NAME} TEMPLATE template0 TABLESPACE small")
    await connection.close()


@pytest.fixture
def system_on_small_disk(redis_url: str, tmp_path: Path) -> Iterator[System]:
    with server_on_small_disk() as url:
        yield new_system(url, redis_url, tmp_path)


@pytest.fixture
async def owner(system_on_small_disk: System) -> AsyncIterator[Owner]:
    """A client, and the user whose jobs it submits."""
    async with Client.open(system_on_small_disk.settings) as client:
        yield Owner(client, await client.get_or_create_user("ann@example.org"))


async def fill(url: str) -> None:
    """Write until PostgreSQL says that its disk is full."""
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE filler (content text STORAGE EXTERNAL)")
    for size in (1_000_000, 8_000):
        with pytest.raises(asyncpg.DiskFullError):
            await insert_rows(connection, size)
    await connection.close()


async def insert_rows(connection: asyncpg.Connection, size: int) -> None:
    for _ in range(10_000):
        await connection.execute("INSERT INTO filler VALUES (repeat('x', $1))", size)


async def test_full_disk_of_postgresql_costs_no_job(
    system_on_small_disk: System, owner: Owner, record_property: Callable[[str, object], None]
) -> None:
    system, rows = system_on_small_disk, Rows(system_on_small_disk)
    url = system.environment["DATABASE_URL"]
    async with audited(url, "PostgreSQL's disk full", record_property), held_worker(system, "worker") as worker:
        held = await owner.submit("held.py", PYTHON_FILE)

        async def runs() -> bool:
            return bool(await rows.statuses() == {"running": 1})

        await until(runs)
        await fill(url)
        with pytest.raises(ServiceUnavailableError, match="free space on the server's disk"):
            await owner.submit("large.py", b"x = 1\n" * 60_000)
        release_jobs(system)
        (delayed,) = await worker.until("job.ends_delayed")
        assert "free space on the server's disk" in delayed["reason"]
        await rows.all("DROP TABLE filler")
        later = await owner.submit("later.py", PYTHON_FILE)
        for job in (held, later):
            ended = await until_finished(owner.client, owner.user_id, job.job_id)
            assert (ended.status, ended.attempt) == (JobStatus.COMPLETED, 1)
        assert worker.process.poll() is None
    assert sorted(await rows.runs()) == sorted([held.job_id, later.job_id])
