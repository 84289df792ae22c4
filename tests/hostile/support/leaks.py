"""Where a secret could have got to: rows, Redis, processes, files."""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psutil
from redis.asyncio import Redis

from tests.fixtures.processes import descendants


def forms_of(token: str) -> list[bytes]:
    """The token as it stands, as git's header carries it, in an address, and inside any other base64."""
    raw = token.encode()
    inner = [base64.b64encode(b"x" * shift + raw)[4 if shift else 0 : -4] for shift in range(3)]
    header = base64.b64encode(f"x-access-token:{token}".encode())
    forms = [raw, header, header.rstrip(b"="), quote(token, safe="").encode(), raw.hex().encode(), *inner]
    assert min(map(len, forms)) >= 8
    return forms


def found_in(data: bytes, forms: Iterable[bytes]) -> list[bytes]:
    return [form for form in forms if form in data]


async def database_text(url: str) -> bytes:
    """Every row of every table as text, and every statement that the server remembers of a connection."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            "SELECT quote_ident(table_name) AS name FROM information_schema.tables WHERE table_schema = 'public'"
        )
        assert {"jobs", "analysis_runs", "users"} <= {row["name"] for row in tables}
        texts = [f"{row}" for row in await connection.fetch("SELECT query FROM pg_stat_activity")]
        for table in tables:
            texts += [row["row"] for row in await connection.fetch(f"SELECT t::text AS row FROM {table['name']} AS t")]  # noqa: S608
    finally:
        await connection.close()
    return "\n".join(texts).encode()


async def redis_contents(redis: "Redis") -> dict[bytes, bytes]:
    """Every key with its whole value, of whatever type."""
    contents = {}
    async for key in redis.scan_iter(count=1000):
        kind = await redis.type(key)
        if kind == b"string":
            contents[key] = await redis.get(key) or b""
        elif kind == b"zset":
            contents[key] = repr(await redis.zrange(key, 0, -1, withscores=True)).encode()
        elif kind == b"hash":
            contents[key] = repr(await redis.hgetall(key)).encode()  # type: ignore[misc]
        elif kind == b"none":
            continue  # gone meanwhile
        else:
            raise AssertionError(f"a key of type {kind!r}")
    return contents


class Processes:
    """What anybody on the machine may see of a process and all that it started."""

    def __init__(self, pid: int) -> None:
        found = [_facts(process) for process in (psutil.Process(pid), *descendants(pid))]
        self.seen: list[Mapping[str, bytes]] = [facts for facts in found if facts is not None]

    def named(self, pattern: str) -> list[Mapping[str, bytes]]:
        return [facts for facts in self.seen if re.search(pattern.encode(), facts["comm"])]


def _facts(process: psutil.Process) -> dict[str, bytes] | None:
    place = Path("/proc") / str(process.pid)
    try:
        return {name: (place / name).read_bytes() for name in ("comm", "cmdline", "environ", "limits")}
    except OSError:
        return None  # it has ended meanwhile


def files_below(*places: Path) -> Iterator[tuple[Path, bytes]]:
    """Names and bytes of all files, those that vanish meanwhile left out."""
    for place in places:
        for path in place.rglob("*"):
            try:
                if path.is_file() and not path.is_symlink():
                    yield path, path.read_bytes()
            except OSError:
                continue
