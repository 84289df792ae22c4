"""Store for repository tokens between submission and fetch: in Redis only, encrypted, for a limited time."""

import contextlib
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from domain.errors import InvalidInputError, PermanentError, TokenLostError
from infrastructure.redis.queue import redis_errors

TOKEN_CHARACTERS = 1_000
"""More than the tokens of any git host have. git reads a token from one environment variable, whose size is limited."""

MAX_ENCRYPTED_BYTES = 4_096
"""More than the longest token has when it is encrypted."""


class TokenVault:
    """Stores one token per job. The first key encrypts and all keys decrypt, so that keys can be rotated."""

    def __init__(self, redis: Redis, keys: Sequence[str], *, ttl_seconds: int) -> None:
        """Take Fernet keys (32 url-safe base64 bytes each). Raises InvalidInputError for any other."""
        self._redis = redis
        self._ttl_seconds = ttl_seconds
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys]) if keys else None
        except ValueError as error:
            raise InvalidInputError(
                "TOKEN_ENCRYPTION_KEYS must be Fernet keys: 32 bytes in url-safe base64, comma-separated"
            ) from error

    async def put(self, job_id: str, token: str) -> None:
        """Store the token. Raises InvalidInputError (invalid token, or no key) and ServiceUnavailableError."""
        encrypted = self.encrypt(token)
        async with redis_errors():
            await self._redis.set(_key(job_id), encrypted, ex=self._ttl_seconds)

    def encrypt(self, secret: str) -> str:
        """Return a token or another secret as it may be stored. Raises InvalidInputError (invalid, or no key)."""
        if not 0 < len(secret) <= TOKEN_CHARACTERS or not secret.isascii() or not secret.isprintable():
            raise InvalidInputError(f"a token must be 1 to {TOKEN_CHARACTERS} printable ASCII characters")
        if self._fernet is None:
            raise InvalidInputError("private repositories and push hooks need TOKEN_ENCRYPTION_KEYS to be set")
        return self._fernet.encrypt(secret.encode()).decode()

    def decrypt(self, encrypted: str) -> str:
        """Return what `encrypt` was given. Raises PermanentError if no key decrypts it."""
        with contextlib.suppress(InvalidToken):
            if self._fernet is not None:
                return self._fernet.decrypt(encrypted).decode()
        raise PermanentError("no key of TOKEN_ENCRYPTION_KEYS decrypts the stored secret; give it again")

    async def get(self, job_id: str) -> str:
        """Return the token. Raises TokenLostError if Redis has lost it or no key decrypts it."""
        async with redis_errors():
            try:
                encrypted = await self._redis.getrange(_key(job_id), 0, MAX_ENCRYPTED_BYTES)
            except ResponseError as error:
                if not str(error).startswith("WRONGTYPE"):
                    raise
                encrypted = b""  # another program has replaced it
        try:
            if not encrypted or self._fernet is None:
                raise TokenLostError("token lost, submit again")
            return self._fernet.decrypt(encrypted).decode()
        except InvalidToken as error:
            raise TokenLostError("token lost, submit again") from error

    async def delete(self, *job_ids: str) -> None:
        """Delete the tokens of these jobs. Raises ServiceUnavailableError; they then expire after their time limit."""
        if job_ids:
            async with redis_errors():
                await self._redis.delete(*map(_key, job_ids))


def _key(job_id: str) -> str:
    return f"vibe8:token:{job_id}"
