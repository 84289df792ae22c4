"""`vibe8 repo add`, `check`, `update`, `hook` and `remove`: what changes a tracked repository."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from collectors.engine.collector_names import collector_names
from domain.errors import InvalidInputError
from domain.path_globs import parse_globs
from domain.tags import parse_tags
from domain.tracking.repository import AnalysisStatus, TrackedRepository
from domain.tracking.settings import RepositorySettings
from worker.cli.commands.jobs.jobs import client_and_user
from worker.cli.exit_codes import DONE, FAILED
from worker.cli.output.errors import print_error
from worker.cli.output.repositories import show_repository
from worker.cli.output.writer import OutputWriter
from worker.cli.source_argument import TOKEN_VARIABLE
from worker.client import Client, RepositoryChanges, repository_to_json
from worker.results.policy_file import read_policy_file

POLL_SECONDS = 0.3
HOOK_PATH = "/api/v1/hooks/{}"
"""Where `vibe8 serve` takes push hooks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenSettings:
    """The options of a command that are settings of a repository; None are not given."""

    branches: Sequence[str] | None
    exclude: Sequence[str] | None
    policy: Path | None
    notify_url: str | None
    public: bool | None

    @property
    def is_empty(self) -> bool:
        """Whether none is given."""
        values = (self.branches, self.exclude, self.policy, self.notify_url, self.public)
        return all(value is None for value in values)

    def applied_to(self, settings: RepositorySettings) -> RepositorySettings:
        """Return the settings with those that are given. Raises InvalidInputError."""
        if self.branches is not None:
            settings = replace(settings, branches=tuple(name for name in self.branches if name))
        if self.exclude is not None:
            settings = replace(settings, exclude=parse_globs([glob for glob in self.exclude if glob], "exclude"))
        if self.policy is not None:
            settings = replace(settings, gate=read_policy_file(self.policy))
        if self.notify_url is not None:
            settings = replace(settings, notify_url=self.notify_url or None)
        return settings if self.public is None else replace(settings, public=self.public)


@asynccontextmanager
async def client_and_repository(email: str, named: str) -> AsyncIterator[tuple[Client, UUID, UUID]]:
    """Open a client, and yield it with the ids of the user and of the repository that is named so."""
    async with client_and_user(email, lazy_redis=True) as (client, user_id):
        yield client, user_id, await client.repositories.find_id(user_id, named)


async def add(
    email: str,
    url: str,
    given: GivenSettings,
    *,
    schedule: str | None,
    tags: Sequence[str] | None,
    description: str | None,
    wait: bool,
    output: OutputWriter,
) -> int:
    """Track a repository."""
    settings, parsed = given.applied_to(RepositorySettings()), parse_tags(tags or ())
    async with client_and_user(email, lazy_redis=True) as (client, user_id):
        added = await client.repositories.add(
            user_id,
            url=url,
            schedule=schedule,
            settings=settings,
            tags=parsed,
            token=_token(),
            description=description,
        )
        return await _finish(client, user_id, added, wait=wait, output=output)


async def check(email: str, named: str, *, wait: bool, output: OutputWriter) -> int:
    """Let a worker check a repository."""
    async with client_and_repository(email, named) as (client, user_id, repository_id):
        asked = await client.repositories.check(user_id, repository_id)
        return await _finish(client, user_id, asked, wait=wait, output=output)


async def update(
    email: str,
    named: str,
    given: GivenSettings,
    *,
    schedule: str | None,
    tags: Sequence[str] | None,
    description: str | None,
    with_token: bool | None,
    output: OutputWriter,
) -> int:
    """Change what is given."""
    async with client_and_repository(email, named) as (client, user_id, repository_id):
        settings = None
        if not given.is_empty:
            stored = (await client.repositories.get(user_id, repository_id)).settings
            settings = given.applied_to(RepositorySettings.from_json(stored, collector_names()))
        changes = RepositoryChanges(
            schedule=schedule,
            settings=settings,
            tags=None if tags is None else parse_tags([tag for tag in tags if tag]),
            token=None if with_token is None else _required_token() if with_token else "",
            description=description,
        )
        changed = await client.repositories.update(user_id, repository_id, changes)
    _print(changed, output)
    return DONE


async def hook(email: str, named: str, output: OutputWriter) -> int:
    """Make a secret, and print it with the path of the hook."""
    async with client_and_repository(email, named) as (client, user_id, repository_id):
        secret = await client.repositories.rotate_hook_secret(user_id, repository_id)
    path = HOOK_PATH.format(repository_id)
    if output.as_json:
        output.print_json({"repository_id": str(repository_id), "path": path, "secret": secret})
    else:
        output.print_line(secret)
        output.print_line(f"The secret of the push hook, for its host; the hook's path is {path} of `vibe8 serve`.")
        output.print_line("Keep it now: it cannot be shown again. A secret before it is no longer valid.")
    return DONE


async def remove(email: str, named: str, output: OutputWriter) -> int:
    """Track a repository no longer."""
    async with client_and_repository(email, named) as (client, user_id, repository_id):
        found = await client.repositories.get(user_id, repository_id)
        await client.repositories.remove(user_id, repository_id)
    if output.as_json:
        output.print_json(repository_to_json(found))
    else:
        output.print_line(f"removed {found.url}; its runs stay")
    return DONE


async def _finish(
    client: Client, user_id: UUID, repository: TrackedRepository, *, wait: bool, output: OutputWriter
) -> int:
    """Print the repository, after its check if the command waits. Returns FAILED where it failed."""
    if wait:
        repository = await _until_checked(client, user_id, repository.repository_id)
    _print(repository, output)
    if not wait or repository.analysis_status is not AnalysisStatus.FAILED:
        return DONE
    print_error(repository.last_error or "the analysis failed")
    return FAILED


async def _until_checked(client: Client, user_id: UUID, repository_id: UUID) -> TrackedRepository:
    while True:
        found = await client.repositories.get(user_id, repository_id)
        if not found.check_pending and found.analysis_status is not AnalysisStatus.IN_PROGRESS:
            return found
        await asyncio.sleep(POLL_SECONDS)


def _print(repository: TrackedRepository, output: OutputWriter) -> None:
    document = repository_to_json(repository)
    if output.as_json:
        output.print_json(document)
    else:
        show_repository(output.console, document)


def _token() -> str | None:
    return os.environ.get(TOKEN_VARIABLE, "").strip() or None


def _required_token() -> str:
    token = _token()
    if token is None:
        raise InvalidInputError(f"--token reads the variable {TOKEN_VARIABLE}, which is not set")
    return token
