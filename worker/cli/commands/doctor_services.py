"""The doctor's look at PostgreSQL, Redis and the package index: there, how far away, and set up as they should be."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from domain.errors import Vibe8Error
from domain.text import JSON, one_line
from infrastructure.database.engine import Database
from infrastructure.database.migrate import current_revision, schema_problem
from infrastructure.database.urls import sqlalchemy_url
from infrastructure.outbound.package_index import SimplePackageIndex
from infrastructure.redis.queue import connect, redis_errors
from infrastructure.settings import Settings

SKEW_SECONDS = 2.0
MEMORY_SHARE = 0.9
KNOWN_PACKAGE = "pip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at; `advice` says what to do, and is empty where all is well.

    With `ok` and advice it is a warning: work goes on, less well than it could.
    """

    name: str
    found: str
    ok: bool = True
    advice: str = ""
    unreachable: bool = False


async def check_services(settings: Settings) -> list[Check]:
    """PostgreSQL, its schema and clock; Redis, what it may evict and what it keeps; the package index."""
    return [
        *await _reached("postgresql", lambda: _postgresql(settings), "check DATABASE_URL, and that the server runs"),
        *await _reached("redis", lambda: _redis(settings), "check REDIS_URL, and that the server runs"),
        await _index(None if settings.package_index_url is None else settings.package_index_url.get_secret_value()),
    ]


async def _reached(name: str, look: Callable[[], Awaitable[list[Check]]], advice: str) -> list[Check]:
    try:
        return await look()
    except Vibe8Error as error:
        return [Check(name=name, found=one_line(str(error)), ok=False, advice=advice, unreachable=True)]


async def _postgresql(settings: Settings) -> list[Check]:
    database = Database.from_settings(settings, "vibe8-doctor")
    try:
        version = await database.ping()  # with the connecting
        started, asked = time.monotonic(), time.time()
        theirs = await database.server_time()
        took = time.monotonic() - started
    finally:
        await database.close()
    reached = Check(name="postgresql", found=f"{version}, answers in {took * 1000:.1f} ms")
    return [reached, await _schema(settings), check_clock(theirs - (asked + took / 2))]


async def _schema(settings: Settings) -> Check:
    url = sqlalchemy_url(settings)
    wrong, revision = await schema_problem(url), await current_revision(url)
    if wrong is None:
        return Check(name="schema", found=f"at {revision}")
    return Check(name="schema", found=wrong, ok=False, advice="run `vibe8 migrate`")


def check_clock(ahead: float) -> Check:
    """Of how many seconds PostgreSQL's clock is ahead of this machine's."""
    found = f"PostgreSQL's and this machine's differ by {abs(ahead):.1f} s"
    if abs(ahead) <= SKEW_SECONDS:
        return Check(name="clock", found=found)
    slow = "this machine's is behind" if ahead > 0 else "PostgreSQL's machine's is behind"
    advice = f"{slow}, or the other is ahead: have both follow a time server (leases go by PostgreSQL's alone)"
    return Check(name="clock", found=found, ok=False, advice=advice)


async def _redis(settings: Settings) -> list[Check]:
    redis = await connect(settings.redis_dsn().get_secret_value())
    try:
        async with redis_errors():
            started = time.monotonic()
            await redis.ping()
            took = time.monotonic() - started
            info = await redis.info()
    finally:
        await redis.aclose()
    name = str(info.get("server_name", "redis"))
    version = info.get(f"{name}_version", info.get("redis_version", "unknown"))
    reached = Check(name="redis", found=f"{name} {version}, answers in {took * 1000:.1f} ms")
    return [reached, _eviction(info), _memory(info), _persistence(info)]


def _eviction(info: Mapping[str, JSON]) -> Check:
    policy = str(info.get("maxmemory_policy", "unknown"))
    if policy == "noeviction":
        return Check(name="redis-eviction", found=policy)
    advice = "set maxmemory-policy to noeviction: else tokens and rings may be dropped to make room"
    return Check(name="redis-eviction", found=policy, ok=False, advice=advice)


def _memory(info: Mapping[str, JSON]) -> Check:
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if not most:
        return Check(name="redis-memory", found=f"Redis uses {used // 2**20} MB, without a limit of its own")
    found = f"Redis uses {used // 2**20} of {most // 2**20} MB"
    if used <= MEMORY_SHARE * most:
        return Check(name="redis-memory", found=found)
    return Check(
        name="redis-memory", found=found, ok=False, advice="raise maxmemory: when it is full, rings are refused"
    )


def _persistence(info: Mapping[str, JSON]) -> Check:
    if not info.get("aof_enabled"):
        advice = "set appendonly to yes: else a restart loses the tokens of waiting jobs (`token lost, submit again`)"
        return Check(name="redis-aof", found="no append-only file", advice=advice)
    if info.get("aof_last_write_status") != "ok":
        return Check(name="redis-aof", found="writing fails", ok=False, advice="look at Redis's log, and at its disk")
    return Check(name="redis-aof", found="append-only file")


async def _index(url: str | None) -> Check:
    """Without it jobs go on, and `latest_version` stays null; so it is never amiss."""
    if url == "":
        return Check(name="index", found="switched off: `latest_version` stays null")
    index = SimplePackageIndex() if url is None else SimplePackageIndex(url)
    try:
        started = time.monotonic()
        answered = KNOWN_PACKAGE in await index.latest_versions([KNOWN_PACKAGE])
        took = time.monotonic() - started
    finally:
        await index.aclose()
    if answered:
        return Check(name="index", found=f"answers in {took * 1000:.0f} ms")
    advice = "check PACKAGE_INDEX_URL and the way there, or set it empty: `latest_version` stays null meanwhile"
    return Check(name="index", found="gives no answer", advice=advice)
