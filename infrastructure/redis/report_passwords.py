"""Passwords of shared reports: hashed by Argon2id, and wrong ones counted in Redis for all replicas together.

An attempt counts before its password is checked, and is taken back when that was right: however many are made at once,
no more wrong ones are checked than the limit. Without Redis no password is checked at all.
"""

import asyncio
import hashlib
import os

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from redis.asyncio import Redis

from domain.errors import TooManyAttemptsError
from domain.reports import WRONG_PASSWORDS, WRONG_WINDOW_SECONDS
from infrastructure.redis.queue import redis_errors

MEMORY_KIB = 64 * 1024
ITERATIONS = 3
LANES = 4
"""The second choice of RFC 9106, for where 2 GiB of memory are too much. A hash takes about 0.2 s."""

SALT_BYTES, HASH_BYTES = 16, 32
MOST_AT_ONCE = 2
"""Passwords that a process hashes at the same time: each takes MEMORY_KIB, and a thread."""

# The window begins with its first attempt. A key of another type or without an end, which only another program can have
# written, is replaced.
_BEGIN = """
local attempts = redis.pcall('INCR', KEYS[1])
local left = redis.call('TTL', KEYS[1])
if type(attempts) ~= 'number' or left < 0 then
  redis.call('SET', KEYS[1], 1, 'EX', ARGV[1])
  attempts, left = 1, tonumber(ARGV[1])
end
return {attempts, left}
"""
_TAKE_BACK = "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('DECR', KEYS[1]) end"


class ReportPasswords:
    """Hashes passwords and checks them. Redis holds digests of codes, and never a password."""

    def __init__(self, redis: Redis) -> None:
        self._begin = redis.register_script(_BEGIN)
        self._take_back = redis.register_script(_TAKE_BACK)
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)

    async def hash(self, password: bytes) -> str:
        """Return the hash of a password with a salt of its own, in the form `$argon2id$v=19$m=...`."""
        async with self._turns:
            return await asyncio.to_thread(_hash, password)

    async def matches(self, code: str, password: bytes, stored: str) -> bool:
        """Return whether the password of the report with this code has this hash, compared in constant time.

        Raises TooManyAttemptsError beyond the limit of wrong ones, and ServiceUnavailableError without Redis.
        """
        key = f"vibe8:report:{hashlib.sha256(code.encode()).hexdigest()[:32]}:attempts"
        async with self._turns:
            async with redis_errors():
                attempts, left = await self._begin(keys=[key], args=[WRONG_WINDOW_SECONDS])
            if attempts > WRONG_PASSWORDS:
                seconds = max(1, int(left))
                raise TooManyAttemptsError(
                    f"too many wrong passwords for this report; try again in {seconds} seconds", reset_seconds=seconds
                )
            matches = await asyncio.to_thread(_matches, password, stored)
            if matches:
                async with redis_errors():
                    await self._take_back(keys=[key])
            return matches


def _hash(password: bytes) -> str:
    kdf = Argon2id(
        salt=os.urandom(SALT_BYTES), length=HASH_BYTES, iterations=ITERATIONS, lanes=LANES, memory_cost=MEMORY_KIB
    )
    return kdf.derive_phc_encoded(password)


def _matches(password: bytes, stored: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(password, stored)
    except InvalidKey:
        return False
    return True
