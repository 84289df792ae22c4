"""Users, who submit jobs."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import ForbiddenError, InvalidInputError, NotFoundError

_FIND = text("SELECT id, auth0_sub FROM users WHERE email = :email")
_FIND_BY_SUB = text("SELECT id FROM users WHERE auth0_sub = :sub")
_ADD = text("INSERT INTO users (email, auth0_sub) VALUES (:email, :sub) ON CONFLICT (email) DO NOTHING")
_IDENTIFY = text("UPDATE users SET auth0_sub = :sub WHERE id = :id AND auth0_sub IS NULL")
_JOBS_OF = text("SELECT job_id FROM jobs WHERE user_id = :id ORDER BY created_at, job_id")
_DELETE = text("DELETE FROM users WHERE id = :id")
_TRIES = 3
MAX_EMAIL_LENGTH = 320
MAX_SUB_LENGTH = 255


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

    async def delete(self, user_id: UUID) -> list[str]:
        """Delete the user with all jobs and runs. Returns the ids of the jobs; workers lose their leases and stop.

        Raises NotFoundError.
        """
        jobs = list((await self._connection.scalars(_JOBS_OF, {"id": user_id})).all())
        if not (await self._connection.execute(_DELETE, {"id": user_id})).rowcount:
            raise NotFoundError("there is no such user")
        return jobs
