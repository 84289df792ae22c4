"""Tracked repositories as their owners use them: add, list, change, remove. Callers check who the owner is."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.audit import Action, Actor, Resource
from domain.errors import InvalidInputError, NotFoundError
from domain.text import JSON, one_line
from domain.tracking.repository import AnalysisStatus, RepositoryCursor, RepositoryNames, TrackedRepository
from infrastructure.database.access.audit_statements import actor_values, insert_entries
from infrastructure.database.tracking.mapping import REPOSITORY_COLUMNS, repository_from_row


def entries(source: str, action: Action, *, user: str = "owner_id", details: str = "'{}'::jsonb") -> str:
    """Return the SQL that adds an entry about each repository of `source` to the audit log."""
    return insert_entries(source, action, Resource.REPOSITORY, user=user, resource="CAST(id AS text)", details=details)


_ADD = text(f"""
    WITH repository AS (
        INSERT INTO repositories (
            owner_id, name, full_name, description, url, clone_url, language, settings, tags, schedule, next_check_at,
            check_requested_at, token)
        VALUES (:owner_id, :name, :full_name, :description, :url, :clone_url, :language, CAST(:settings AS jsonb),
            CAST(:tags AS jsonb), :schedule, :next_check_at, statement_timestamp(), :token)
        ON CONFLICT (owner_id, url) DO NOTHING RETURNING *
    ), logged AS ({entries("repository", Action.TRACK, details="jsonb_build_object('url', url)")})
    SELECT {REPOSITORY_COLUMNS} FROM repository
""")  # nosec B608 # noqa: S608 - no input in it
_GET = text(f"SELECT {REPOSITORY_COLUMNS} FROM repositories AS repository WHERE id = :id")  # nosec B608 # noqa: S608
_GET_MANY = text(f"""
    SELECT {REPOSITORY_COLUMNS} FROM repositories AS repository WHERE id = ANY(CAST(:ids AS uuid[]))
""")  # nosec B608 # noqa: S608 - no input in it
_FIND = text("SELECT id FROM repositories WHERE owner_id = :owner_id AND url = :url")
# Ids are compared as a range, which the primary key's index serves.
_FIND_BY_PREFIX = text("""
    SELECT id FROM repositories WHERE id BETWEEN :first AND :last AND owner_id = :owner_id LIMIT 2
""")
_COUNT = text("""
    SELECT count(*) FROM (SELECT 1 FROM repositories WHERE owner_id = :owner_id LIMIT :count_to) AS counted
""")
_LIST = f"""
    SELECT {REPOSITORY_COLUMNS} FROM {{source}} AS repository
    WHERE owner_id = :owner_id AND url > :after {{conditions}}
    ORDER BY owner_id, url LIMIT :limit
"""  # nosec B608 # noqa: S608 - no input in it

# OFFSET 0 keeps the planner from reading the owner's repositories in order until enough have the tags: it always takes
# tags for those of 1 % of the rows. So it reads those with the tags, or those of an owner who has fewer.
_TAGGED = """(
    SELECT * FROM repositories WHERE owner_id = :owner_id AND tags @> CAST(:tags AS jsonb) OFFSET 0
)"""
_CHANGE = f"""
    WITH repository AS (
        UPDATE repositories SET {{changes}}, updated_at = statement_timestamp() WHERE id = :id RETURNING *
    ), logged AS ({entries("repository", Action.UPDATE_REPOSITORY, details="CAST(:details AS jsonb)")})
    SELECT {REPOSITORY_COLUMNS} FROM repository
"""  # nosec B608 # noqa: S608 - no input in it
_REQUEST_CHECK = text(f"""
    WITH repository AS (
        UPDATE repositories SET check_requested_at = statement_timestamp() WHERE id = :id RETURNING *
    ), logged AS ({entries("repository", Action.CHECK_REPOSITORY)})
    SELECT {REPOSITORY_COLUMNS} FROM repository
""")  # nosec B608 # noqa: S608 - no input in it
_REMOVE = text(f"""
    WITH removed AS (DELETE FROM repositories WHERE id = :id RETURNING id, owner_id, url)
    {entries("removed", Action.UNTRACK, details="jsonb_build_object('url', url)")}
""")  # nosec B608 # noqa: S608 - no input in it
_DELETE_OF_USER = text("""
    WITH chosen AS MATERIALIZED (
        SELECT id FROM repositories WHERE owner_id = :id ORDER BY id LIMIT :limit FOR UPDATE
    )
    DELETE FROM repositories USING chosen WHERE repositories.id = chosen.id
""")
_JSON_COLUMNS = frozenset({"settings", "tags"})
_SECRET_COLUMNS = frozenset({"token", "hook_secret"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRepository:
    """A repository to add, with what is validated. `token` is encrypted."""

    names: RepositoryNames
    clone_url: str
    description: str | None = None
    language: str | None = None
    settings: Mapping[str, JSON] = field(default_factory=dict)
    tags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    schedule: str | None = None
    next_check_at: datetime | None = None
    token: str | None = field(default=None, repr=False)


class TrackedRepositories:
    """The table `repositories` for owners, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def now(self) -> datetime:
        """Return the database's time, by which all checks are due."""
        found: datetime = await self._connection.scalar(text("SELECT statement_timestamp()"))
        return found

    async def add(self, owner_id: UUID, new: NewRepository, actor: Actor = Actor()) -> TrackedRepository:  # noqa: B008
        """Add the repository, with a check that is due at once. Raises InvalidInputError where the owner has it."""
        values = {
            "owner_id": owner_id,
            "name": new.names.name,
            "full_name": new.names.full_name,
            "url": new.names.url,
            "clone_url": new.clone_url,
            "description": new.description,
            "language": new.language,
            "settings": json.dumps(new.settings),
            "tags": json.dumps(new.tags),
            "schedule": new.schedule,
            "next_check_at": new.next_check_at,
            "token": new.token,
            **actor_values(actor),
        }
        row = (await self._connection.execute(_ADD, values)).mappings().one_or_none()
        if row is None:
            known = await self.find_by_url(owner_id, new.names.url)
            raise InvalidInputError(f"the repository {new.names.url} is tracked already, as {known}; change that one")
        return repository_from_row(row)

    async def get(self, repository_id: UUID) -> TrackedRepository:
        """Return the repository. Raises NotFoundError. The caller checks who owns it."""
        row = (await self._connection.execute(_GET, {"id": repository_id})).mappings().one_or_none()
        if row is None:
            raise NotFoundError(no_repository(repository_id))
        return repository_from_row(row)

    async def get_many(self, repository_ids: Collection[UUID]) -> list[TrackedRepository]:
        """Return those of the repositories that exist, in no order. The caller checks who owns each."""
        rows = await self._connection.execute(_GET_MANY, {"ids": list(repository_ids)})
        return [repository_from_row(row) for row in rows.mappings()]

    async def find_by_url(self, owner_id: UUID, url: str) -> UUID | None:
        """Return the id of the owner's repository with this normalised URL."""
        found: UUID | None = await self._connection.scalar(_FIND, {"owner_id": owner_id, "url": url})
        return found

    async def find_by_prefix(self, owner_id: UUID, digits: str) -> UUID | None:
        """Return the id of the owner's only repository whose id begins with these hexadecimal digits.

        None where no repository has such an id; raises InvalidInputError where several have.
        """
        first, last = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
        values = {"owner_id": owner_id, "first": first, "last": last}
        found = (await self._connection.scalars(_FIND_BY_PREFIX, values)).all()
        if len(found) > 1:
            raise InvalidInputError(f"several repository ids begin with {digits!r}; give more characters")
        return found[0] if found else None

    async def count(self, owner_id: UUID, *, count_to: int) -> int:
        """Return how many repositories the owner has; no more than `count_to` are counted."""
        return int(await self._connection.scalar(_COUNT, {"owner_id": owner_id, "count_to": count_to}) or 0)

    async def list_page(
        self,
        owner_id: UUID,
        *,
        limit: int,
        status: AnalysisStatus | None = None,
        tags: Mapping[str, Sequence[str]] | None = None,
        after: RepositoryCursor | None = None,
    ) -> list[TrackedRepository]:
        """Return one page of the owner's repositories by URL, of this status and with all these tags."""
        conditions, values = "", {"owner_id": owner_id, "limit": limit, "after": "" if after is None else after.url}
        if status is not None:
            conditions, values = "AND analysis_status = :status", {**values, "status": str(status)}
        if tags:
            values["tags"] = json.dumps(tags)
        statement = text(_LIST.format(source=_TAGGED if tags else "repositories", conditions=conditions))
        rows = await self._connection.execute(statement, values)
        return [repository_from_row(row) for row in rows.mappings()]

    async def change(
        self,
        repository_id: UUID,
        changes: Mapping[str, JSON],
        actor: Actor = Actor(),  # noqa: B008 - frozen
    ) -> TrackedRepository:
        """Change these columns, whose names are no input of users. Raises NotFoundError.

        The audit log names the columns, and has the new values of those that are no secrets and no documents.
        """
        cast = {name: f"CAST(:{name} AS jsonb)" if name in _JSON_COLUMNS else f":{name}" for name in changes}
        shown = {
            name: "changed" if name in _SECRET_COLUMNS | _JSON_COLUMNS else str(value)
            for name, value in changes.items()
            if name not in ("next_check_at", "check_requested_at")
        }
        values = {name: json.dumps(value) if name in _JSON_COLUMNS else value for name, value in changes.items()}
        statement = text(_CHANGE.format(changes=", ".join(f"{name} = {value}" for name, value in cast.items())))
        parameters = {**values, "id": repository_id, "details": json.dumps(shown), **actor_values(actor)}
        row = (await self._connection.execute(statement, parameters)).mappings().one_or_none()
        if row is None:
            raise NotFoundError(no_repository(repository_id))
        return repository_from_row(row)

    async def request_check(self, repository_id: UUID, actor: Actor = Actor()) -> TrackedRepository:  # noqa: B008
        """Let a worker check the repository now. Raises NotFoundError."""
        values = {"id": repository_id, **actor_values(actor)}
        row = (await self._connection.execute(_REQUEST_CHECK, values)).mappings().one_or_none()
        if row is None:
            raise NotFoundError(no_repository(repository_id))
        return repository_from_row(row)

    async def remove(self, repository_id: UUID, actor: Actor = Actor()) -> bool:  # noqa: B008 - frozen
        """Delete the repository with its followers. Returns whether there was one. Its runs stay."""
        return (await self._connection.execute(_REMOVE, {"id": repository_id, **actor_values(actor)})).rowcount > 0

    async def delete_of_user(self, user_id: UUID, limit: int) -> int:
        """Delete up to `limit` repositories of the user, who is being deleted, and return how many."""
        return (await self._connection.execute(_DELETE_OF_USER, {"id": user_id, "limit": limit})).rowcount


def no_repository(repository_id: UUID | str) -> str:
    """Return the message about a repository that does not exist."""
    return f"there is no tracked repository {one_line(str(repository_id), 80)}"
