"""The cache of facts in the user's directory: what it keeps, what it ignores, and what it removes."""

import asyncio
import os
import stat
import time
from pathlib import Path

import pytest

from domain.ports import FactsCache
from infrastructure.sources.local.facts_cache import (
    BLOCK_BYTES,
    MAX_ENTRY_BYTES,
    DirectoryFactsCache,
    user_cache_directory,
)

MB = 1024 * 1024


def digest(number: int) -> bytes:
    return number.to_bytes(20, "big")


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "home" / "vibe8" / "facts"


@pytest.fixture
def cache(directory: Path) -> FactsCache:
    return DirectoryFactsCache(directory, MB)


async def test_stored_entries_are_returned(cache: FactsCache, directory: Path) -> None:
    assert await cache.get([digest(1)]) == {}
    assert not directory.exists()
    entries = {digest(1): b"one", digest(2): b"", digest(3): bytes(range(256)) * 100}
    await cache.put(entries)
    assert await cache.get([*entries, digest(4)]) == entries
    await cache.put({digest(1): b"changed"})
    assert await cache.get([digest(1)]) == {digest(1): b"changed"}


async def test_directory_and_files_are_closed_to_others(cache: FactsCache, directory: Path) -> None:
    await cache.put({digest(1): b"one"})
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o777, 0o701])
async def test_directory_that_is_open_to_others_is_not_used(cache: FactsCache, directory: Path, mode: int) -> None:
    await cache.put({digest(1): b"one"})
    directory.chmod(mode)
    assert await cache.get([digest(1)]) == {}
    await cache.put({digest(2): b"two"})
    assert len(names(directory)) == 1


async def test_directory_or_file_of_another_user_is_not_used(
    cache: FactsCache, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cache.put({digest(1): b"one"})
    monkeypatch.setattr(os, "geteuid", lambda: directory.stat().st_uid + 1)
    assert await cache.get([digest(1)]) == {}
    await cache.put({digest(2): b"two"})
    assert len(names(directory)) == 1


async def test_linked_directory_and_linked_entry_are_not_used(
    cache: FactsCache, directory: Path, tmp_path: Path
) -> None:
    await cache.put({digest(1): b"one"})
    file = directory / digest(1).hex()
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert await cache.get([digest(1)]) == {}
    (tmp_path / "link").symlink_to(directory)
    await DirectoryFactsCache(tmp_path / "link", MB).put({digest(2): b"two"})
    assert names(directory) == {digest(1).hex()}


async def test_damaged_and_foreign_files_are_misses(cache: FactsCache, directory: Path) -> None:
    await cache.put({digest(number): b"content" * 9 for number in range(8)})
    files = [directory / digest(number).hex() for number in range(8)]
    data = files[0].read_bytes()
    for position in range(0, len(data), 5):
        files[0].write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        assert await cache.get([digest(0)]) == {}
    files[1].write_bytes(data[:-1])
    files[2].write_bytes(b"")
    files[3].unlink()
    os.mkfifo(files[3])
    files[4].unlink()
    files[4].mkdir()
    files[5].rename(files[6])  # an entry under another's name
    assert await cache.get([digest(number) for number in range(8)]) == {digest(7): b"content" * 9}
    assert await cache.get([b"", b"/", b"\0" * 99]) == {}


async def test_damaged_entry_is_replaced(cache: FactsCache, directory: Path) -> None:
    await cache.put({digest(1): b"one"})
    (directory / digest(1).hex()).write_bytes(b"junk")
    await cache.put({digest(1): b"one"})
    assert await cache.get([digest(1)]) == {digest(1): b"one"}


async def test_entries_used_the_longest_ago_are_removed(cache: FactsCache, directory: Path) -> None:
    entry = b"x" * (64 * 1024 - BLOCK_BYTES)
    await cache.put({digest(number): entry for number in range(16)})
    now = time.time()
    for number in range(16):
        os.utime(directory / digest(number).hex(), (now, now - 1000 + number))
    assert len(await cache.get([digest(0), digest(1)])) == 2  # these are now the last used
    (directory / "foreign").write_bytes(b"x" * MB)
    await cache.put({digest(number): entry for number in range(100, 104)})
    kept = await cache.get([digest(number) for number in [*range(16), *range(100, 104)]])
    removed = set(range(16)) - {int.from_bytes(name, "big") for name in kept}
    assert removed
    assert removed == set(range(2, 2 + len(removed)))
    assert sum(path.stat().st_size for path in directory.iterdir() if path.name != "foreign") <= MB
    assert (directory / "foreign").exists()


async def test_size_stays_below_the_limit(directory: Path) -> None:
    cache = DirectoryFactsCache(directory, 10 * BLOCK_BYTES)
    for start in range(0, 100, 7):
        await cache.put({digest(start + number): b"small" for number in range(7)})
        assert len(names(directory)) <= 10
    await cache.put({digest(1000 + number): b"small" for number in range(50)})
    assert len(names(directory)) == 10


async def test_entry_over_the_limit_is_not_stored(cache: FactsCache, directory: Path) -> None:
    await cache.put({digest(1): b"x" * (2 * MB), digest(2): b"two"})
    large = DirectoryFactsCache(directory, 100 * MB)
    await large.put({digest(3): b"x" * (MAX_ENTRY_BYTES + 1), digest(4): b"x" * MAX_ENTRY_BYTES})
    assert set(await large.get([digest(number) for number in range(9)])) == {digest(2), digest(4)}


async def test_leftovers_of_killed_writers_are_removed(cache: FactsCache, directory: Path) -> None:
    await cache.put({digest(1): b"one"})
    leftover = directory / f"{digest(2).hex()}.{'0' * 16}"
    leftover.write_bytes(b"x" * MB)
    os.utime(leftover, (1, 1))
    await cache.put({digest(3): b"three"})
    assert names(directory) == {digest(1).hex(), digest(3).hex()}


async def test_writers_at_the_same_time_leave_whole_entries(directory: Path) -> None:
    caches = [DirectoryFactsCache(directory, 20 * BLOCK_BYTES) for _ in range(4)]
    entries = {digest(number): bytes([number]) * 3000 for number in range(40)}

    async def use(cache: DirectoryFactsCache) -> None:
        for _ in range(10):
            await cache.put(entries)
            found = await cache.get(list(entries))
            assert found == {name: entries[name] for name in found}

    await asyncio.gather(*(use(cache) for cache in caches))
    assert all(len(name) == 40 for name in names(directory))


async def test_unusable_place_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = DirectoryFactsCache(tmp_path / "file" / "facts", MB)
    await cache.put({digest(1): b"one"})
    assert await cache.get([digest(1)]) == {}


async def test_failed_write_leaves_nothing(cache: FactsCache, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", fail)
    await cache.put({digest(1): b"one"})
    assert names(directory) == set()


def test_directory_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert user_cache_directory({"XDG_CACHE_HOME": "/cache"}) == Path("/cache/vibe8")
    for environment in ({}, {"XDG_CACHE_HOME": ""}, {"XDG_CACHE_HOME": "relative"}):
        assert user_cache_directory(environment) == Path("/home/somebody/.cache/vibe8")
    monkeypatch.setenv("HOME", "relative")
    assert user_cache_directory({}) is None
