"""Users, who submit jobs."""

import contextlib
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.audit import Action, Actor, Resource
from domain.errors import ForbiddenError, InvalidInputError, NotFoundError
from domain.text import one_line, printable
from infrastructure.database.access.api_keys import ApiKeyRepository
from infrastructure.database.access.audit_log import AuditRepository
from infrastructure.database.access.audit_statements import actor_values, insert_entries
from infrastructure.database.access.reports import ReportRepository
from infrastructure.database.access.sessions import SessionRepository
from infrastructure.database.evaluations.evaluations import EvaluationRepository
from infrastructure.database.repositories.runs import delete_runs, lock_runs
from infrastructure.database.tracking.follows import FollowRepository
from infrastructure.database.tracking.repositories import TrackedRepositories

_FIND = text("SELECT id, auth0_sub FROM users WHERE email = :email")
_FIND_BY_SUB = text("SELECT id FROM users WHERE auth0_sub = :sub")
_ADD = text("INSERT INTO users (email, auth0_sub) VALUES (:email, :sub) ON CONFLICT (email) DO NOTHING")
_IDENTIFY = text("UPDATE users SET auth0_sub = :sub WHERE id = :id AND auth0_sub IS NULL")

# Rows that another transaction holds are skipped: workers go on until the user is deleted.
_DELETE_FREE_JOBS = text("""
    WITH chosen AS MATERIALIZED (
        SELECT job_id FROM jobs WHERE user_id = :id LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    DELETE FROM jobs USING chosen WHERE jobs.job_id = chosen.job_id RETURNING jobs.job_id
""")
_DELETE_JOBS = text("""
    WITH chosen AS MATERIALIZED (
        SELECT job_id FROM jobs WHERE user_id = :id ORDER BY job_id LIMIT :limit FOR UPDATE
    )
    DELETE FROM jobs USING chosen WHERE jobs.job_id = chosen.job_id RETURNING jobs.job_id
""")
_CHOOSE_RUNS = "SELECT run_id FROM analysis_runs WHERE user_id = :id ORDER BY run_id LIMIT :limit"
_LOCK_RUNS = text(lock_runs(_CHOOSE_RUNS))
_DELETE_RUNS = delete_runs(_CHOOSE_RUNS)
_DELETE_DELIVERIES = text("""
    WITH chosen AS MATERIALIZED (
        SELECT notice_id FROM notices WHERE user_id = :id ORDER BY notice_id LIMIT :limit FOR UPDATE
    )
    DELETE FROM notices USING chosen WHERE notices.notice_id = chosen.notice_id
""")
_LOCK = text("SELECT 1 FROM users WHERE id = :id FOR UPDATE")
_LOCK_AS_OWNER = text("SELECT 1 FROM users WHERE id = :id FOR NO KEY UPDATE")
# A deleted user's entries have no address, so this one has none from the start.
_DELETE = text(f"""
    WITH deleted AS (DELETE FROM users WHERE id = :id RETURNING id)
    {insert_entries("deleted", Action.DELETE_USER, Resource.USER, user="id", resource="CAST(id AS text)")}
""")  # nosec B608 # noqa: S608 - no input in it
_TRIES = 3
MAX_EMAIL_LENGTH = 320
MAX_SUB_LENGTH = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedRows:
    """A number of deleted rows, and their ids if they were jobs."""

    rows: int
    job_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedUser:
    """The jobs that were deleted, and whether the user is deleted too."""

    job_ids: tuple[str, ...]
    complete: bool


class UserRepository:
    """The table `users`, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get_or_create(self, email: str, auth0_sub: str | None = None) -> UUID:
        """Return the user with this identity, else with this email, else a new one. Safe under concurrent calls.

        `auth0_sub` is the identity; an email without an identity gets this one. Raises ForbiddenError if the email
        belongs to another identity, and InvalidInputError for an invalid email or identity.
        """
        if "@" not in email or not email.isprintable() or len(email) > MAX_EMAIL_LENGTH:
            raise InvalidInputError("a user's email must look like name@host")
        if auth0_sub is not None and (not auth0_sub.isprintable() or not 0 < len(auth0_sub) <= MAX_SUB_LENGTH):
            raise InvalidInputError(f"a user's identity must be 1 to {MAX_SUB_LENGTH} printable characters")
        for _ in range(_TRIES):
            found = await self._find(email, auth0_sub)
            if found is not None:
                return found
            await self._add(email, auth0_sub)
        raise ForbiddenError(f"the user {email} and that identity belong to different people")

    async def find_id(self, named: str) -> UUID:
        """Return the id of the user with this email; text that is an id is returned as it is. Raises NotFoundError."""
        with contextlib.suppress(ValueError):
            return UUID(named)
        row = (await self._connection.execute(_FIND, {"email": printable(named)})).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no user {one_line(named, 80)}")
        found: UUID = row.id
        return found

    async def _find(self, email: str, sub: str | None) -> UUID | None:
        if sub is not None:
            known: UUID | None = await self._connection.scalar(_FIND_BY_SUB, {"sub": sub})
            if known is not None:
                return known
        row = (await self._connection.execute(_FIND, {"email": email})).one_or_none()
        if row is None:
            return None
        if sub is not None and row.auth0_sub is None:
            return await self._identify(row.id, sub)
        if sub is not None and row.auth0_sub != sub:
            raise ForbiddenError(f"the user {email} belongs to another identity")
        found: UUID = row.id
        return found

    async def _identify(self, user_id: UUID, sub: str) -> UUID | None:
        try:
            async with self._connection.begin_nested():
                done = await self._connection.execute(_IDENTIFY, {"id": user_id, "sub": sub})
        except IntegrityError:
            return None  # another user got this identity concurrently
        return user_id if done.rowcount else None

    async def _add(self, email: str, sub: str | None) -> None:
        try:
            async with self._connection.begin_nested():
                await self._connection.execute(_ADD, {"email": email, "sub": sub})
        except IntegrityError:
            return  # a concurrent call inserted the user; the next round finds it

    async def delete_jobs(self, user_id: UUID, limit: int) -> DeletedRows:
        """Delete up to `limit` jobs of the user that no other transaction holds. Their workers lose the leases."""
        jobs = await self._connection.scalars(_DELETE_FREE_JOBS, {"id": user_id, "limit": limit})
        job_ids = tuple(jobs.all())
        return DeletedRows(rows=len(job_ids), job_ids=job_ids)

    async def delete_runs(self, user_id: UUID, limit: int) -> DeletedRows:
        """Delete up to `limit` runs of the user."""
        await self._connection.execute(_LOCK_AS_OWNER, {"id": user_id})
        done = await self._connection.execute(_DELETE_RUNS, {"id": user_id, "limit": limit})
        return DeletedRows(rows=done.rowcount)

    async def delete_webhook_deliveries(self, user_id: UUID, limit: int) -> DeletedRows:
        """Delete up to `limit` webhook deliveries of the user."""
        done = await self._connection.execute(_DELETE_DELIVERIES, {"id": user_id, "limit": limit})
        return DeletedRows(rows=done.rowcount)

    async def delete_reports(self, user_id: UUID, limit: int) -> DeletedRows:
        """Delete up to `limit` shared reports of the user."""
        return DeletedRows(rows=await ReportRepository(self._connection).delete_of_user(user_id, limit))

    async def delete_keys(self, user_id: UUID, limit: int) -> DeletedRows:
        """Delete up to `limit` API keys of the user."""
        return DeletedRows(rows=await ApiKeyRepository(self._connection).delete_of_user(user_id, limit))

    async def delete_evaluations(self, user_id: UUID, limit: int) -> DeletedRows:
        """Delete up to `limit` evaluations of the user."""
        return DeletedRows(rows=await EvaluationRepository(self._connection).delete_of_user(user_id, limit))

    async def delete_sessions(self, user_id: UUID, limit: int) -> DeletedRows:
        """Delete up to `limit` sessions of the user, and the links that sign the user in."""
        return DeletedRows(rows=await SessionRepository(self._connection).delete_of_user(user_id, limit))

    async def delete_repositories(self, user_id: UUID, limit: int) -> DeletedRows:
        """Delete up to `limit` tracked repositories of the user, with their followers."""
        return DeletedRows(rows=await TrackedRepositories(self._connection).delete_of_user(user_id, limit))

    async def delete_follows(self, user_id: UUID, limit: int) -> DeletedRows:
        """Let the user follow up to `limit` repositories no longer."""
        return DeletedRows(rows=await FollowRepository(self._connection).delete_of_user(user_id, limit))

    async def forget_addresses(self, user_id: UUID, limit: int) -> DeletedRows:
        """Clear address and agent in up to `limit` of the user's entries in the audit log, which stay."""
        return DeletedRows(rows=await AuditRepository(self._connection).forget_addresses(user_id, limit))

    async def delete(self, user_id: UUID, limit: int, *, by_operator: bool = False) -> DeletedUser:
        """Delete the user with up to `limit` rows of each kind, under the lock that submissions take.

        These are jobs, runs, webhook deliveries, evaluations and API keys. Up to as many entries of the audit log
        lose their address and agent, and stay. Where the user has as many or more of one of these, the user stays: call
        it again after the commit. Raises NotFoundError.
        """
        values = {"id": user_id, "limit": limit}
        if await self._connection.scalar(_LOCK, {"id": user_id}) is None:
            raise NotFoundError("there is no such user")
        await self._connection.execute(_LOCK_RUNS, values)
        job_ids = tuple((await self._connection.scalars(_DELETE_JOBS, values)).all())
        others = [await self._connection.execute(statement, values) for statement in (_DELETE_RUNS, _DELETE_DELIVERIES)]
        further = (
            self.delete_evaluations,
            self.delete_repositories,
            self.delete_follows,
            self.delete_reports,
            self.delete_keys,
            self.delete_sessions,
            self.forget_addresses,
        )
        rows = [(await delete(user_id, limit)).rows for delete in further]
        complete = max(len(job_ids), *rows, *(done.rowcount for done in others)) < limit
        if complete:
            await self._connection.execute(_DELETE, {"id": user_id, **actor_values(Actor(operator=by_operator))})
        return DeletedUser(job_ids=job_ids, complete=complete)
