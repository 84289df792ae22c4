"""Token vault: encryption, key rotation and expiry."""

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


async def test_a_token_is_returned_until_it_is_deleted(redis: "Redis") -> None:
    stored = vault(redis, NEW)
    await stored.put(JOB, TOKEN)
    assert await stored.get(JOB) == TOKEN
    assert await stored.get(JOB) == TOKEN  # the next attempt needs it again
    await stored.delete(JOB)
    await stored.delete(JOB)
    with pytest.raises(PermanentError, match=r"^token lost, submit again$"):
        await stored.get(JOB)


async def test_all_keys_decrypt_and_the_first_encrypts(redis: "Redis") -> None:
    await vault(redis, OLD).put(JOB, TOKEN)
    assert await vault(redis, NEW, OLD).get(JOB) == TOKEN
    assert await vault(redis, NEW, OTHER, OLD).get(JOB) == TOKEN
    await vault(redis, NEW, OLD).put(JOB, TOKEN)
    assert Fernet(NEW).decrypt(await redis.get(KEY) or b"") == TOKEN.encode()
    with pytest.raises(PermanentError, match=r"^token lost, submit again$"):
        await vault(redis, OLD).get(JOB)


async def test_a_token_whose_key_was_removed_is_lost(redis: "Redis") -> None:
    await vault(redis, OLD).put(JOB, TOKEN)
    for keys in ([NEW], []):
        with pytest.raises(PermanentError, match=r"^token lost, submit again$"):
            await vault(redis, *keys).get(JOB)


async def test_the_same_token_is_never_encrypted_to_the_same_text(redis: "Redis") -> None:
    await vault(redis, NEW).put(JOB, TOKEN)
    first = await redis.get(KEY)
    await vault(redis, NEW).put(JOB, TOKEN)
    assert await redis.get(KEY) != first


@pytest.mark.parametrize("value", [b"", b"x", b"gAAAAA", b"\xff\x00", TOKEN.encode()])
async def test_a_value_that_is_not_encrypted_is_no_token(redis: "Redis", value: bytes) -> None:
    await redis.set(KEY, value)
    with pytest.raises(PermanentError, match=r"^token lost, submit again$"):
        await vault(redis, NEW).get(JOB)


async def test_an_encrypted_token_copied_from_another_job_is_accepted(redis: "Redis") -> None:
    """A program that can write to Redis can give one private job another's token, as SECURITY.md admits."""
    await vault(redis, NEW).put(JOB, TOKEN)
    await redis.copy(KEY, "vibe8:token:other")
    assert await vault(redis, NEW).get("other") == TOKEN


async def test_a_token_expires(redis: "Redis") -> None:
    await vault(redis, NEW, ttl=7200).put(JOB, TOKEN)
    assert 7190 < await redis.ttl(KEY) <= 7200
    await redis.pexpire(KEY, 1)
    while await redis.exists(KEY):
        pass
    with pytest.raises(PermanentError, match=r"^token lost, submit again$"):
        await vault(redis, NEW).get(JOB)


async def test_without_a_key_no_token_is_stored(redis: "Redis") -> None:
    with pytest.raises(InvalidInputError, match="TOKEN_ENCRYPTION_KEYS"):
        await vault(redis).put(JOB, TOKEN)
    assert await redis.keys() == []


@pytest.mark.parametrize("key", ["", "short", "x" * 44, NEW[:-1], f"{NEW}é"], ids=["", "short", "x", "cut", "é"])
def test_an_invalid_key_is_refused_and_not_in_the_error(key: str) -> None:
    with pytest.raises(InvalidInputError, match="TOKEN_ENCRYPTION_KEYS must be Fernet keys") as caught:
        TokenVault(Redis(), [NEW, key], ttl_seconds=1)
    assert not key or key not in str(caught.value)
    assert NEW not in repr(caught.value)


@pytest.mark.parametrize("token", ["", "a\nb", "a\x00", "\ud800", "é", "x" * (TOKEN_CHARACTERS + 1), "\x1b[31m"])
async def test_an_invalid_token_is_refused_and_not_in_the_error(redis: "Redis", token: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^a token must be 1 to 1000 printable ASCII characters$"):
        await vault(redis, NEW).put(JOB, token)
    assert await redis.keys() == []


async def test_the_error_about_an_unavailable_redis_does_not_contain_the_token() -> None:
    async with Redis(host="127.0.0.1", port=1) as unreachable:
        stored = vault(unreachable, NEW)
        for call in (stored.put(JOB, TOKEN), stored.get(JOB), stored.delete(JOB)):
            with pytest.raises(ServiceUnavailableError) as caught:
                await call
            assert TOKEN not in str(caught.value)
