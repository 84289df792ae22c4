"""Passwords of shared reports: hashed by Argon2id, and wrong ones counted in Redis for all replicas together.

An attempt counts before its password is checked, and is taken back when that was right: however many are made at once,
no more wrong ones are checked than the limits of its address and of the report. One that its address may not make does
not count for the report. Without Redis no password is checked at all.
"""

import asyncio
import hashlib
import os
import threading
from collections.abc import Sequence

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from redis.asyncio import Redis

from domain.errors import TooManyAttemptsError
from domain.reports import WRONG_PASSWORDS, WRONG_PASSWORDS_OF_ALL, WRONG_WINDOW_SECONDS, guesser
from infrastructure.redis.queue import redis_errors

MEMORY_KIB = 64 * 1024
ITERATIONS = 3
LANES = 4
"""The second choice of RFC 9106, for where 2 GiB of memory are too much. A hash takes about 0.2 s."""

SALT_BYTES, HASH_BYTES = 16, 32
_ONE_AT_A_TIME = threading.Lock()
"""OpenSSL fills the lanes in threads of one pool, which it takes for its own: of two hashes at the same time in a
process, one fails for want of threads, or both wait for ever. One uses the cores by itself."""

# KEYS: attempts of the address, and of all. ARGV: the window in seconds, and the two limits. Returns the seconds after
# which an attempt may be made again, 0 where this one may. The window begins with its first attempt. A key of another
# type or without an end, which only another program can have written, is replaced.
_BEGIN = """
local function count(key)
  local attempts = redis.pcall('INCR', key)
  local left = redis.call('TTL', key)
  if type(attempts) ~= 'number' or left < 0 then
    redis.call('SET', key, 1, 'EX', ARGV[1])
    attempts, left = 1, tonumber(ARGV[1])
  end
  return attempts, math.max(left, 1)
end
local attempts, left = count(KEYS[1])
if attempts > tonumber(ARGV[2]) then return left end
attempts, left = count(KEYS[2])
if attempts > tonumber(ARGV[3]) then
  redis.call('DECR', KEYS[1])
  return left
end
return 0
"""
_TAKE_BACK = "for _, key in ipairs(KEYS) do if redis.call('EXISTS', key) == 1 then redis.call('DECR', key) end end"


class ReportPasswords:
    """Hashes passwords and checks them. Redis holds digests of codes, and never a password."""

    def __init__(self, redis: Redis) -> None:
        self._begin = redis.register_script(_BEGIN)
        self._take_back = redis.register_script(_TAKE_BACK)
        self._turn = asyncio.Lock()  # before that of the process, or each one that waits would hold a thread

    async def hash(self, password: bytes) -> str:
        """Return the hash of a password with a salt of its own, in the form `$argon2id$v=19$m=...`."""
        async with self._turn:
            return await asyncio.to_thread(_hash, password)

    async def matches(self, code: str, password: bytes, stored: str, address: str | None) -> bool:
        """Return whether the password of the report with this code has this hash, compared in constant time.

        `address` is that of who gives the password. Raises TooManyAttemptsError beyond the limits of wrong ones, and
        ServiceUnavailableError without Redis.
        """
        keys = [_attempts_key(code, guesser(address)), _attempts_key(code, "all")]
        async with self._turn:
            await self._begin_attempt(keys)
            matches = await asyncio.to_thread(_matches, password, stored)
            if matches:
                async with redis_errors():
                    await self._take_back(keys=keys)
            return matches

    async def _begin_attempt(self, keys: Sequence[str]) -> None:
        async with redis_errors():
            seconds = int(
                await self._begin(keys=keys, args=[WRONG_WINDOW_SECONDS, WRONG_PASSWORDS, WRONG_PASSWORDS_OF_ALL])
            )
        if seconds:
            raise TooManyAttemptsError(
                f"too many wrong passwords for this report; try again in {seconds} seconds", reset_seconds=seconds
            )


def _attempts_key(code: str, part: str) -> str:
    """Return the key under which attempts are counted, without the code, which opens the report."""
    return f"vibe8:report:{hashlib.sha256(code.encode()).hexdigest()[:32]}:attempts:{part}"


def _hash(password: bytes) -> str:
    kdf = Argon2id(
        salt=os.urandom(SALT_BYTES), length=HASH_BYTES, iterations=ITERATIONS, lanes=LANES, memory_cost=MEMORY_KIB
    )
    with _ONE_AT_A_TIME:
        return kdf.derive_phc_encoded(password)


def _matches(password: bytes, stored: str) -> bool:
    with _ONE_AT_A_TIME:
        try:
            Argon2id.verify_phc_encoded(password, stored)
        except InvalidKey:
            return False
    return True
