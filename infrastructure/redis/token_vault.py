"""Repository tokens between submit and fetch: in Redis only, encrypted, for a limited time."""

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from redis.asyncio import Redis

from domain.errors import InvalidInputError, PermanentError
from infrastructure.redis.queue import redis_errors

TOKEN_CHARACTERS = 1_000
"""More than any git host's token has; git reads it from one variable of its environment, and that has a limit."""


class TokenVault:
    """Keeps a token under its job's id. The first key encrypts, all keys decrypt, so that keys can be rotated."""

    def __init__(self, redis: Redis, keys: Sequence[str], *, ttl_seconds: int) -> None:
        """`keys` are Fernet keys (32 url-safe base64 bytes). Raises InvalidInputError where one is not."""
        self._redis = redis
        self._ttl_seconds = ttl_seconds
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys]) if keys else None
        except ValueError as error:
            raise InvalidInputError(
                "TOKEN_ENCRYPTION_KEYS must be Fernet keys: 32 bytes in url-safe base64, comma-separated"
            ) from error

    async def put(self, job_id: str, token: str) -> None:
        """Keep the token. Raises InvalidInputError (a bad one, or no key) and ServiceUnavailableError."""
        if not 0 < len(token) <= TOKEN_CHARACTERS or not token.isascii() or not token.isprintable():
            raise InvalidInputError(f"a token must be 1 to {TOKEN_CHARACTERS} printable ASCII characters")
        if self._fernet is None:
            raise InvalidInputError("private repositories need TOKEN_ENCRYPTION_KEYS to be set")
        async with redis_errors():
            await self._redis.set(_key(job_id), self._fernet.encrypt(token.encode()), ex=self._ttl_seconds)

    async def get(self, job_id: str) -> str:
        """The token. Raises PermanentError when Redis has lost it or no key opens it."""
        async with redis_errors():
            sealed = await self._redis.get(_key(job_id))
        try:
            if sealed is None or self._fernet is None:
                raise PermanentError("token lost, submit again")
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken as error:
            raise PermanentError("token lost, submit again") from error

    async def delete(self, job_id: str) -> None:
        """Delete the token. Raises ServiceUnavailableError; its time limit then ends it."""
        async with redis_errors():
            await self._redis.delete(_key(job_id))


def _key(job_id: str) -> str:
    return f"vibe8:token:{job_id}"
