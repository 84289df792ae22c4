"""A tracked repository behind a real git server, and replicas that check it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.fernet import Fernet

from infrastructure.database.engine import Database
from infrastructure.redis.queue import JobQueue, connect
from infrastructure.redis.token_vault import TokenVault
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.network.git_server import GitServer
from tests.fixtures.worker_process import System
from worker.analysis.pipeline_factory import open_pipeline
from worker.client import Client
from worker.tracking.head_check import HeadCheck
from worker.tracking.tracker import RepositoryTracker, TrackingServices

KEY = Fernet.generate_key().decode()


@dataclass
class Tracked:
    """Calls of one user about repositories of the git server, and the jobs that checks have made."""

    client: Client
    user_id: UUID
    server: GitServer
    tree: WorkTree
    database: Database
    services: TrackingServices
    trackers: list[RepositoryTracker] = field(default_factory=list)

    async def add(self, name: str = "owner/repository", **more: Any) -> UUID:
        url = self.server.url(name)
        return (await self.client.repositories.add(self.user_id, url=url, **more)).repository_id

    async def check(self, repository_id: UUID) -> None:
        """Ask for a check, and let a replica make it."""
        await self.client.repositories.check(self.user_id, repository_id)
        await self.tick()

    async def tick(self) -> None:
        await RepositoryTracker(self.services).run_until_idle()

    async def get(self, repository_id: UUID) -> Any:
        return await self.client.repositories.get(self.user_id, repository_id)

    async def jobs(self) -> list[dict[str, Any]]:
        """Return branch and head of each job, oldest first."""
        jobs = await self.client.list_jobs(self.user_id, limit=1000)
        return [
            {
                "branch": job.source_metadata["tracked_branch"],
                "head": job.source_metadata["tracked_head"],
                "status": str(job.status),
            }
            for job in reversed(jobs)
        ]

    async def heads(self) -> list[str]:
        return [job["head"] for job in await self.jobs()]


@pytest.fixture
def tracked_system(git_system: System) -> System:
    return git_system.with_settings(
        MAX_CONCURRENT_JOBS_PER_USER="1000", TOKEN_ENCRYPTION_KEYS=KEY, WEBHOOK_SECRETS="x" * 32
    )


@pytest.fixture
async def services(tracked_system: System) -> AsyncIterator[TrackingServices]:
    """The services of one replica, with real children."""
    settings = tracked_system.settings
    async with AsyncExitStack() as stack:
        pipeline = await stack.enter_async_context(open_pipeline(settings))
        database = Database.from_settings(settings)
        stack.push_async_callback(database.close)
        redis = await connect(settings.redis_dsn().get_secret_value())
        stack.push_async_callback(redis.aclose)
        git = {"allowed_hosts": list(settings.git_allowed_hosts), "ca_bundle": str(settings.git_ca_bundle)}
        heads = HeadCheck(
            children=pipeline.children,
            scratch_dir=pipeline.scratch_dir,
            memory=pipeline.memory,
            places=pipeline.fetches,
            git=git,
        )
        yield TrackingServices(
            database=database,
            heads=heads,
            queue=JobQueue(redis),
            vault=TokenVault(redis, [KEY], ttl_seconds=60),
            plans=settings.plans,
            at_once=pipeline.memory.checks,
            on_job=lambda: None,
        )


@pytest.fixture
async def tracked(
    tracked_system: System, services: TrackingServices, git_server: GitServer, two_commit_tree: WorkTree
) -> AsyncIterator[Tracked]:
    """A user, and a repository with two commits on main at `owner/repository`."""
    git_server.add("owner/repository", two_commit_tree.dot_git)
    async with Client.open(tracked_system.settings) as client:
        user_id = await client.get_or_create_user("ann@example.org")
        yield Tracked(
            client=client,
            user_id=user_id,
            server=git_server,
            tree=two_commit_tree,
            database=services.database,
            services=services,
        )


@pytest.fixture
def new_tree(tmp_path: Path) -> Callable[[str], WorkTree]:
    """Make a repository with one commit."""

    def make(name: str) -> WorkTree:
        tree = WorkTree(tmp_path / name)
        tree.commit(a_py="x = 1\n")
        return tree

    return make
