"""The doctor's checks of PostgreSQL, Redis and the package index: reachable, how fast, and configured correctly."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from domain.errors import ServiceUnavailableError, Vibe8Error
from domain.text import JSON, one_line
from infrastructure.database.connecting import sqlalchemy_url
from infrastructure.database.engine import Database
from infrastructure.database.migrate import current_revision, head_revision, schema_problem
from infrastructure.database.server.snapshots import old_snapshots
from infrastructure.outbound.package_index import SimplePackageIndex
from infrastructure.redis.queue import connect, redis_errors
from infrastructure.settings import Settings
from worker.cli.commands.operators.fleet import is_paused

MAX_CLOCK_SKEW_SECONDS = 2.0
OLD_SNAPSHOT_SECONDS = 600
MAX_MEMORY_SHARE = 0.9
KNOWN_PACKAGE = "pip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The result of one check. `found` is what was found, `advice` what to do about it.

    A check that is `ok` has no advice, or is a warning if it has: jobs run, but not as well as they could.
    """

    name: str
    found: str
    ok: bool = True
    advice: str = ""
    unreachable: bool = False


async def check_services(settings: Settings) -> list[Check]:
    """Check PostgreSQL with its schema and clock, Redis with its memory and persistence, and the package index."""
    return [
        *await _reachable("postgresql", lambda: _postgresql(settings), "check DATABASE_URL and that the server runs"),
        *await _reachable("redis", lambda: _redis(settings), "check REDIS_URL and that the server runs"),
        await _index(None if settings.package_index_url is None else settings.package_index_url.get_secret_value()),
    ]


async def _reachable(name: str, checks: Callable[[], Awaitable[list[Check]]], advice: str) -> list[Check]:
    try:
        return await checks()
    except ServiceUnavailableError as error:
        found, advice = one_line(error.fault), error.advice or advice
    except Vibe8Error as error:
        found = one_line(str(error))
    return [Check(name=name, found=found, ok=False, advice=advice, unreachable=True)]


async def _postgresql(settings: Settings) -> list[Check]:
    database = Database.from_settings(settings, "vibe8-doctor")
    try:
        version = await database.ping()  # connects, so that the time below is that of one query
        started, asked = time.monotonic(), time.time()
        server_time = await database.server_time()
        took = time.monotonic() - started
        takes_writes = await database.takes_writes()
        old = await old_snapshots(database, OLD_SNAPSHOT_SECONDS)
        schema = await _schema(settings)
        fleet = [await _fleet(database)] if schema.found == f"at {head_revision()}" else []
    finally:
        await database.close()
    reachable = _check_writes(takes_writes, f"{version}, answers in {took * 1000:.1f} ms")
    clock = check_clock(server_time - (asked + took / 2))
    return [reachable, schema, *fleet, clock, check_snapshots(old)]


def _check_writes(takes_writes: bool, found: str) -> Check:
    """Check that this PostgreSQL takes writes; one that does not is an outage, although it answers."""
    if takes_writes:
        return Check(name="postgresql", found=found)
    advice = "let DATABASE_URL lead to the primary: a standby, or a primary that a failover has replaced, takes no job"
    return Check(name="postgresql", found=f"{found}, is read-only", ok=False, advice=advice, unreachable=True)


async def _fleet(database: Database) -> Check:
    if await is_paused(database):
        return Check(name="fleet", found="paused: no worker claims jobs", advice="run `vibe8 resume` to let them")
    return Check(name="fleet", found="not paused")


async def _schema(settings: Settings) -> Check:
    url, pooled = sqlalchemy_url(settings), settings.pools_transactions
    wrong, revision = await schema_problem(url, pooled=pooled), await current_revision(url, pooled=pooled)
    if wrong is None:
        return Check(name="schema", found=f"at {revision}")
    return Check(name="schema", found=wrong, ok=False, advice="run `vibe8 migrate`")


def check_clock(ahead: float) -> Check:
    """Check the clock skew: how many seconds PostgreSQL's clock is ahead of this machine's."""
    found = f"the clocks of PostgreSQL and of this machine differ by {abs(ahead):.1f} s"
    if abs(ahead) <= MAX_CLOCK_SKEW_SECONDS:
        return Check(name="clock", found=found)
    slow = "this machine's clock is behind" if ahead > 0 else "the clock of PostgreSQL's machine is behind"
    advice = f"{slow}, or the other is ahead: synchronise both with a time server (leases use PostgreSQL's clock only)"
    return Check(name="clock", found=found, ok=False, advice=advice)


def check_snapshots(old: Sequence[str]) -> Check:
    """Check what keeps VACUUM from removing dead rows: a warning, since the queue only slows down with time."""
    if not old:
        return Check(name="snapshots", found=f"none older than {OLD_SNAPSHOT_SECONDS // 60} min")
    advice = "end that transaction or drop that slot: until then dead rows of `jobs` stay, and claims slow down"
    return Check(name="snapshots", found=one_line("; ".join(old)), advice=advice)


async def _redis(settings: Settings) -> list[Check]:
    redis = await connect(settings.redis_dsn().get_secret_value())
    try:
        async with redis_errors():
            started = time.monotonic()
            await redis.ping()
            took = time.monotonic() - started
            info = await redis.info()
        refusal = await _refused_write(redis)
    finally:
        await redis.aclose()
    name = str(info.get("server_name", "redis"))
    version = info.get(f"{name}_version", info.get("redis_version", "unknown"))
    reachable = Check(name="redis", found=f"{name} {version}, answers in {took * 1000:.1f} ms")
    return [reachable, check_writes(info, refusal), _eviction(info), _memory(info), _persistence(info)]


async def _refused_write(redis: Redis) -> ServiceUnavailableError | None:
    """Return why this Redis refuses to store a key; None where it does not. The key expires at once."""
    try:
        async with redis_errors():
            await redis.set("vibe8:doctor", 1, px=1)
    except ServiceUnavailableError as error:
        return error
    return None


def check_writes(info: Mapping[str, JSON], refusal: ServiceUnavailableError | None) -> Check:
    """Check that this Redis takes writes: a replica, such as a primary that a failover has replaced, does not."""
    if info.get("role") != "slave":
        if refusal is None:
            return Check(name="redis-role", found="takes writes")
        return Check(name="redis-role", found=one_line(refusal.fault), ok=False, advice=refusal.advice)
    primary = one_line(f"{info.get('master_host')}:{info.get('master_port')}", 100)
    advice = f"let REDIS_URL lead to the primary ({primary}): jobs run without it, but more slowly"
    return Check(name="redis-role", found="is a replica, which refuses writes", ok=False, advice=advice)


def _eviction(info: Mapping[str, JSON]) -> Check:
    policy = str(info.get("maxmemory_policy", "unknown"))
    if policy == "noeviction":
        return Check(name="redis-eviction", found=policy)
    advice = "set maxmemory-policy to noeviction: with other policies Redis may drop tokens and queue entries"
    return Check(name="redis-eviction", found=policy, ok=False, advice=advice)


def _memory(info: Mapping[str, JSON]) -> Check:
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if not limit:
        return Check(name="redis-memory", found=f"Redis uses {used // 2**20} MB and has no limit")
    found = f"Redis uses {used // 2**20} of {limit // 2**20} MB"
    if used <= MAX_MEMORY_SHARE * limit:
        return Check(name="redis-memory", found=found)
    return Check(
        name="redis-memory", found=found, ok=False, advice="raise maxmemory: a full Redis refuses queue entries"
    )


def _persistence(info: Mapping[str, JSON]) -> Check:
    if not info.get("aof_enabled"):
        advice = (
            "set appendonly to yes: without it a restart loses the tokens of waiting jobs (`token lost, submit again`)"
        )
        return Check(name="redis-aof", found="no append-only file", advice=advice)
    if info.get("aof_last_write_status") != "ok":
        return Check(
            name="redis-aof", found="writing fails", ok=False, advice="check the log and the disk of the Redis server"
        )
    return Check(name="redis-aof", found="append-only file")


async def _index(url: str | None) -> Check:
    """Check the package index. It never fails: without the index jobs run, and `latest_version` stays null."""
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
    advice = "check PACKAGE_INDEX_URL and the network, or set it empty: until then `latest_version` stays null"
    return Check(name="index", found="does not answer", advice=advice)
