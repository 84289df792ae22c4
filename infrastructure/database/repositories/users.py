"""Who submits."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import ForbiddenError, InvalidInputError, NotFoundError

_FIND = text("SELECT id, auth0_sub FROM users WHERE email = :email")
_FIND_BY_SUB = text("SELECT id FROM users WHERE auth0_sub = :sub")
_ADD = text("INSERT INTO users (email, auth0_sub) VALUES (:email, :sub) ON CONFLICT (email) DO NOTHING")
_IDENTIFY = text("UPDATE users SET auth0_sub = :sub WHERE id = :id AND auth0_sub IS NULL")
_TOUCH = text("UPDATE users SET last_login = statement_timestamp() WHERE id = :id")
_JOBS_OF = text("SELECT job_id FROM jobs WHERE user_id = :id ORDER BY created_at, job_id")
_DELETE = text("DELETE FROM users WHERE id = :id")
_TRIES = 3
MAX_SUB_LENGTH = 255


class UserRepository:
    """The table `users`, within one unit of work."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get_or_create(self, email: str, auth0_sub: str | None = None) -> UUID:
        """The user of that identity, else of that address, else a new one; safe to call many times at once.

        An address that has had no identity gets this one. Raises ForbiddenError where the address belongs to another
        identity, and InvalidInputError for an address that is none.
        """
        if "@" not in email or not email.isprintable() or len(email) > 320:
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
            return None  # another user got that identity in this moment
        return user_id if done.rowcount else None

    async def _add(self, email: str, sub: str | None) -> None:
        try:
            async with self._connection.begin_nested():
                await self._connection.execute(_ADD, {"email": email, "sub": sub})
        except IntegrityError:
            return  # likewise: it is found the next time round

    async def touch_last_login(self, user_id: UUID) -> None:
        """Note that the user has logged in now."""
        await self._connection.execute(_TOUCH, {"id": user_id})

    async def delete(self, user_id: UUID) -> list[str]:
        """Delete the user with all jobs and runs, and return the jobs' ids; workers notice and stop.

        Raises NotFoundError.
        """
        jobs = list((await self._connection.scalars(_JOBS_OF, {"id": user_id})).all())
        if not (await self._connection.execute(_DELETE, {"id": user_id})).rowcount:
            raise NotFoundError("there is no such user")
        return jobs
