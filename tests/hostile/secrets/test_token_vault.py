"""Tokens between submit and fetch: encrypted, for a time, by keys that can be changed."""

import uuid

import pytest
from cryptography.fernet import Fernet
from redis.asyncio import Redis

from domain.errors import InvalidInputError, PermanentError, ServiceUnavailableError
from infrastructure.redis.token_vault import TOKEN_CHARACTERS, TokenVault

OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))
JOB = uuid.uuid4().hex
KEY = f"vibe8:token:{JOB}"
TOKEN = "a-token"


def vault(redis: "Redis", *keys: str, ttl: int = 60) -> TokenVault:
    return TokenVault(redis, keys, ttl_seconds=ttl)


async def test_a_token_comes_back_until_it_is_forgotten(redis: "Redis") -> None:
    kept = vault(redis, NEW)
    await kept.put(JOB, TOKEN)
    assert await kept.get(JOB) == TOKEN
    assert await kept.get(JOB) == TOKEN  # an attempt that failed may need it again
    await kept.delete(JOB)
    await kept.delete(JOB)
    with pytest.raises(PermanentError, match=r"^token lost, submit again$"):
        await kept.get(JOB)


async def test_keys_are_rotated_old_ones_open_and_the_first_locks(redis: "Redis") -> None:
    await vault(redis, OLD).put(JOB, TOKEN)
    assert await vault(redis, NEW, OLD).get(JOB) == TOKEN
    assert await vault(redis, NEW, OTHER, OLD).get(JOB) == TOKEN
    await vault(redis, NEW, OLD).put(JOB, TOKEN)
    assert Fernet(NEW).decrypt(await redis.get(KEY) or b"") == TOKEN.encode()
    with pytest.raises(PermanentError, match=r"^token lost, submit again$"):
        await vault(redis, OLD).get(JOB)


async def test_with_its_key_a_token_is_lost(redis: "Redis") -> None:
    await vault(redis, OLD).put(JOB, TOKEN)
    for keys in ([NEW], []):
        with pytest.raises(PermanentError, match=r"^token lost, submit again$"):
            await vault(redis, *keys).get(JOB)


async def test_two_tokens_are_never_sealed_alike(redis: "Redis") -> None:
    await vault(redis, NEW).put(JOB, TOKEN)
    first = await redis.get(KEY)
    await vault(redis, NEW).put(JOB, TOKEN)
    assert await redis.get(KEY) != first


@pytest.mark.parametrize("value", [b"", b"x", b"gAAAAA", b"\xff\x00", TOKEN.encode()])
async def test_what_somebody_else_has_written_there_is_no_token(redis: "Redis", value: bytes) -> None:
    await redis.set(KEY, value)
    with pytest.raises(PermanentError, match=r"^token lost, submit again$"):
        await vault(redis, NEW).get(JOB)


async def test_another_job_s_sealed_token_is_still_one_of_ours(redis: "Redis") -> None:
    """Whoever can write to Redis can give one private job another's token; SECURITY.md says so."""
    await vault(redis, NEW).put(JOB, TOKEN)
    await redis.copy(KEY, "vibe8:token:other")
    assert await vault(redis, NEW).get("other") == TOKEN


async def test_the_time_limit_is_redis_s_own(redis: "Redis") -> None:
    await vault(redis, NEW, ttl=7200).put(JOB, TOKEN)
    assert 7190 < await redis.ttl(KEY) <= 7200
    await redis.pexpire(KEY, 1)
    while await redis.exists(KEY):
        pass
    with pytest.raises(PermanentError, match=r"^token lost, submit again$"):
        await vault(redis, NEW).get(JOB)


async def test_without_a_key_no_token_is_kept(redis: "Redis") -> None:
    with pytest.raises(InvalidInputError, match="TOKEN_ENCRYPTION_KEYS"):
        await vault(redis).put(JOB, TOKEN)
    assert await redis.keys() == []


@pytest.mark.parametrize("key", ["", "short", "x" * 44, NEW[:-1], f"{NEW}é"], ids=["", "short", "x", "cut", "é"])
def test_a_key_that_is_none_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(InvalidInputError, match="TOKEN_ENCRYPTION_KEYS must be Fernet keys") as caught:
        TokenVault(Redis(), [NEW, key], ttl_seconds=1)
    assert not key or key not in str(caught.value)
    assert NEW not in repr(caught.value)


@pytest.mark.parametrize("token", ["", "a\nb", "a\x00", "\ud800", "é", "x" * (TOKEN_CHARACTERS + 1), "\x1b[31m"])
async def test_what_can_be_no_token_is_refused_and_not_repeated(redis: "Redis", token: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^a token must be 1 to 1000 printable ASCII characters$"):
        await vault(redis, NEW).put(JOB, token)
    assert await redis.keys() == []


async def test_redis_away_is_said_without_the_token() -> None:
    async with Redis(host="127.0.0.1", port=1) as nowhere:
        away = vault(nowhere, NEW)
        for call in (away.put(JOB, TOKEN), away.get(JOB), away.delete(JOB)):
            with pytest.raises(ServiceUnavailableError) as caught:
                await call
            assert TOKEN not in str(caught.value)
