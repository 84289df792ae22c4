"""Calls about tracked repositories. Each checks that the repository belongs to the user, or is public."""

import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from domain.audit import Actor
from domain.errors import NotFoundError
from domain.sources import normalize_repository_url
from domain.tags import normalize_tags
from domain.text import one_line
from domain.tracking.follows import Follow, FollowCursor, FollowSettings
from domain.tracking.hooks import HookOutcome
from domain.tracking.repository import (
    AnalysisStatus,
    RepositoryCursor,
    RepositoryNames,
    RepositoryStatistics,
    TrackedRepository,
    TrendingRepository,
    checked_description,
    checked_language,
)
from domain.tracking.settings import RepositorySettings
from infrastructure.database.access.usage import UsageRepository
from infrastructure.database.tracking.follows import FollowRepository
from infrastructure.database.tracking.repositories import NewRepository, TrackedRepositories, no_repository
from infrastructure.database.tracking.statistics import RepositoryStatisticsRepository
from infrastructure.settings import Settings
from worker.client.accounts.ownership import owned_repository, visible_repository
from worker.client.connections import Connections
from worker.client.repositories.changes import RepositoryChanges, checked_follow, checked_settings, column_changes
from worker.client.repositories.hook_receiver import HookReceiver
from worker.tracking.schedules import next_time, parse_schedule

MAX_LISTED_REPOSITORIES = 500
MOST_COUNTED = 10_000
"""Repositories of a plan without a limit are counted up to this number."""

SECRET_BYTES = 32
_DIGITS = re.compile("[0-9a-f]{1,32}")


class RepositoriesClient:
    """Tracked repositories: registered once, and analysed when one of their branches has moved."""

    def __init__(self, connections: Connections, settings: Settings, actor: Actor) -> None:
        self._database, self._vault = connections.database, connections.vault
        self._settings, self._actor = settings, actor
        self._hooks = HookReceiver(connections)

    async def add(
        self,
        user_id: UUID,
        *,
        url: str,
        schedule: str | None = None,
        settings: RepositorySettings = RepositorySettings(),  # noqa: B008 - frozen
        tags: Mapping[str, Sequence[str]] | None = None,
        token: str | None = None,
        description: str | None = None,
        language: str | None = None,
    ) -> TrackedRepository:
        """Track a repository. A worker checks it at once, and then by its schedule and when its host's hook says so.

        `schedule` has five fields of cron, or is `hourly`, `daily` or `weekly`, in UTC. A private repository needs a
        `token`, which is stored encrypted. `tags` are values by category. Raises InvalidInputError, also where the user
        tracks the repository already, LimitExceededError, and NotFoundError (no such user).
        """
        clone_url = normalize_repository_url(url, self._settings.git_allowed_hosts)
        encrypted = None if token is None else self._vault.encrypt(token)
        checked = checked_settings(settings, self._settings)
        async with self._database.unit_of_work() as work:
            usage, repositories = UsageRepository(work), TrackedRepositories(work)
            limits = self._settings.plans.of(await usage.lock_user(user_id))
            most = MOST_COUNTED if limits.repositories is None else limits.repositories
            tracked = await repositories.count(user_id, count_to=most)
            now = await repositories.now()
            stored = parse_schedule(schedule, now) if schedule else None
            new = NewRepository(
                names=RepositoryNames.of(clone_url),
                clone_url=clone_url,
                description=checked_description(description),
                language=checked_language(language),
                settings=checked.to_json(),
                tags=normalize_tags(tags or {}),
                schedule=stored,
                next_check_at=None if stored is None else next_time(stored, now),
                token=encrypted,
            )
            added = await repositories.add(user_id, new, self._actor)
            await usage.count_repository(user_id, limits, tracked=tracked)
            return added

    async def get(self, user_id: UUID, repository_id: UUID) -> TrackedRepository:
        """Return the repository. Of another user's public one, settings and error are left out.

        Raises NotFoundError, ForbiddenError.
        """
        async with self._database.unit_of_work() as work:
            return visible_repository(await TrackedRepositories(work).get(repository_id), user_id)

    async def get_many(self, user_id: UUID, repository_ids: Collection[UUID]) -> Mapping[UUID, TrackedRepository]:
        """Return by their ids those of the repositories that the user may see, as `get` does.

        At most MAX_LISTED_REPOSITORIES are looked for.
        """
        async with self._database.unit_of_work() as work:
            found = await TrackedRepositories(work).get_many(_first(repository_ids))
        return {
            each.repository_id: visible_repository(each, user_id)
            for each in found
            if each.owner_id == user_id or each.is_public
        }

    async def find_id(self, user_id: UUID, named: str) -> UUID:
        """Return the id of the user's repository that is named by its URL, by its id, or by the beginning of its id.

        A whole id is returned as it is. Raises NotFoundError, and InvalidInputError for a beginning of several ids and
        for a URL that is not allowed.
        """
        digits = named.replace("-", "").lower()
        if _DIGITS.fullmatch(digits) and len(digits) == 32:
            return UUID(digits)
        async with self._database.unit_of_work() as work:
            repositories = TrackedRepositories(work)
            if "://" in named:
                clone_url = normalize_repository_url(named, self._settings.git_allowed_hosts)
                found = await repositories.find_by_url(user_id, RepositoryNames.of(clone_url).url)
            else:
                found = await repositories.find_by_prefix(user_id, digits) if _DIGITS.fullmatch(digits) else None
        if found is None:
            raise NotFoundError(no_repository(one_line(named, 80)))
        return found

    async def list(
        self,
        user_id: UUID,
        *,
        status: AnalysisStatus | None = None,
        tags: Mapping[str, Sequence[str]] | None = None,
        limit: int = 50,
        after: RepositoryCursor | None = None,
    ) -> list[TrackedRepository]:
        """Return the user's repositories in the order of their URLs, at most `limit` and MAX_LISTED_REPOSITORIES.

        With `tags` those that have all of these values. For the next page, pass the `cursor` of the last repository as
        `after`; an empty page is the end. Raises InvalidInputError for tags that cannot be.
        """
        limit, wanted = max(1, min(limit, MAX_LISTED_REPOSITORIES)), normalize_tags(tags or {})
        async with self._database.unit_of_work() as work:
            repositories = TrackedRepositories(work)
            return await repositories.list_page(user_id, limit=limit, status=status, tags=wanted, after=after)

    async def update(
        self,
        user_id: UUID,
        repository_id: UUID,
        changes: RepositoryChanges,
    ) -> TrackedRepository:
        """Change what `changes` give, and return the repository. Raises as `add`, NotFoundError and ForbiddenError."""
        async with self._database.unit_of_work() as work:
            repositories = await self._owned(work, user_id, repository_id)
            columns = column_changes(changes, self._settings, self._vault, await repositories.now())
            if not columns:
                return await repositories.get(repository_id)
            return await repositories.change(repository_id, columns, self._actor)

    async def check(self, user_id: UUID, repository_id: UUID) -> TrackedRepository:
        """Let a worker check the repository within seconds; a branch that has moved is analysed.

        Raises NotFoundError, ForbiddenError.
        """
        async with self._database.unit_of_work() as work:
            repositories = await self._owned(work, user_id, repository_id)
            return await repositories.request_check(repository_id, self._actor)

    async def remove(self, user_id: UUID, repository_id: UUID) -> None:
        """Track the repository no longer. Its runs and its jobs stay. Raises NotFoundError, ForbiddenError."""
        async with self._database.unit_of_work() as work:
            repositories = await self._owned(work, user_id, repository_id)
            await repositories.remove(repository_id, self._actor)

    async def rotate_hook_secret(self, user_id: UUID, repository_id: UUID) -> str:
        """Make a new secret for the repository's push hook, and return it this once: it is stored encrypted.

        The secret before is no longer valid. Raises NotFoundError, ForbiddenError, and InvalidInputError without
        TOKEN_ENCRYPTION_KEYS.
        """
        secret = secrets.token_urlsafe(SECRET_BYTES)
        changes = {"hook_secret": self._vault.encrypt(secret)}
        async with self._database.unit_of_work() as work:
            repositories = await self._owned(work, user_id, repository_id)
            await repositories.change(repository_id, changes, self._actor)
        return secret

    async def receive_hook(self, repository_id: UUID, headers: Mapping[str, str], body: bytes) -> HookOutcome:
        """Take a push hook of GitHub or GitLab, which lets a worker check the repository at once.

        The signature says that the repository's host sent it; no user does. Raises InvalidInputError for a body of more
        than MAX_HOOK_BYTES, and NotFoundError alike for an unknown repository, for one without a hook, and for a
        signature that is missing or wrong.
        """
        return await self._hooks.receive(repository_id, headers, body)

    async def follow(self, user_id: UUID, repository_id: UUID, settings: FollowSettings) -> Follow:
        """Follow the user's own or a public repository, or change when and where its follower is told.

        Raises InvalidInputError for a URL to which no webhook may go, NotFoundError, ForbiddenError.
        """
        checked = checked_follow(settings, self._settings)
        async with self._database.unit_of_work() as work:
            visible_repository(await TrackedRepositories(work).get(repository_id), user_id)
            await UsageRepository(work).lock_user(user_id)
            return await FollowRepository(work).follow(user_id, repository_id, checked, self._actor)

    async def unfollow(self, user_id: UUID, repository_id: UUID) -> None:
        """Follow the repository no longer. Raises NotFoundError, also where the user does not, and ForbiddenError."""
        async with self._database.unit_of_work() as work:
            if not await FollowRepository(work).unfollow(user_id, repository_id, self._actor):
                visible_repository(await TrackedRepositories(work).get(repository_id), user_id)
                raise NotFoundError(f"the user does not follow {one_line(str(repository_id), 80)}")

    async def list_followed(
        self, user_id: UUID, *, limit: int = 50, after: FollowCursor | None = None
    ) -> Sequence[Follow]:
        """Return what the user follows, newest first, at most `limit` and MAX_LISTED_REPOSITORIES, as `list` does."""
        limit = max(1, min(limit, MAX_LISTED_REPOSITORIES))
        async with self._database.unit_of_work() as work:
            return await FollowRepository(work).list_page(user_id, limit=limit, after=after)

    async def follows(self, user_id: UUID, repository_ids: Collection[UUID]) -> Mapping[UUID, Follow]:
        """Return by their ids those of the repositories that the user follows.

        At most MAX_LISTED_REPOSITORIES are looked for.
        """
        async with self._database.unit_of_work() as work:
            found = await FollowRepository(work).among(user_id, _first(repository_ids))
        return {each.repository_id: each for each in found}

    async def statistics(self, user_id: UUID, repository_id: UUID) -> RepositoryStatistics:
        """Return the repository's numbers as of the last count, which is at most some minutes old.

        Raises NotFoundError, ForbiddenError.
        """
        async with self._database.unit_of_work() as work:
            visible_repository(await TrackedRepositories(work).get(repository_id), user_id)
            return await RepositoryStatisticsRepository(work).get(repository_id)

    async def trending(self, user_id: UUID, *, limit: int = 20) -> Sequence[TrendingRepository]:
        """Return those of the user's and of the public repositories that trend most, at most `limit` and 500.

        Each counts 10 for a follower, 1 for a run of the last 7 days, and the points by which its quality has improved.
        """
        limit = max(1, min(limit, MAX_LISTED_REPOSITORIES))
        async with self._database.unit_of_work() as work:
            found = await RepositoryStatisticsRepository(work).trending(user_id, limit)
        return [
            TrendingRepository(repository=visible_repository(each.repository, user_id), statistics=each.statistics)
            for each in found
        ]

    async def _owned(self, work: AsyncConnection, user_id: UUID, repository_id: UUID) -> TrackedRepositories:
        """Return the repositories after a check of the owner."""
        repositories = TrackedRepositories(work)
        owned_repository(await repositories.get(repository_id), user_id)
        return repositories


def _first(repository_ids: Collection[UUID]) -> Collection[UUID]:
    return [*repository_ids][:MAX_LISTED_REPOSITORIES]
