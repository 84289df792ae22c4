"""Search for a secret in every place where it could leak: database rows, Redis, processes and files."""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psutil
from redis.asyncio import Redis

from tests.fixtures.processes import descendants


def encodings_of(token: str) -> list[bytes]:
    """Return the token as it is, in git's header, in a URL, in hexadecimal, and inside longer base64."""
    raw = token.encode()
    inside_base64 = [base64.b64encode(b"x" * shift + raw)[4 if shift else 0 : -4] for shift in range(3)]
    header = base64.b64encode(f"x-access-token:{token}".encode())
    encodings = [raw, header, header.rstrip(b"="), quote(token, safe="").encode(), raw.hex().encode(), *inside_base64]
    assert min(map(len, encodings)) >= 8
    return encodings


def found_in(data: bytes, encodings: Iterable[bytes]) -> list[bytes]:
    return [encoding for encoding in encodings if encoding in data]


async def database_text(url: str) -> bytes:
    """Return every row of every table as text, and the last statement of every connection."""
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
    """Return every key with its whole value."""
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
            continue  # the key has expired meanwhile
        else:
            raise AssertionError(f"unknown type of key: {kind!r}")
    return contents


class ProcessSnapshot:
    """What /proc shows of a process and all its descendants."""

    def __init__(self, pid: int) -> None:
        found = [_read_proc(process) for process in (psutil.Process(pid), *descendants(pid))]
        self.processes: list[Mapping[str, bytes]] = [files for files in found if files is not None]

    def named(self, pattern: str) -> list[Mapping[str, bytes]]:
        return [files for files in self.processes if re.search(pattern.encode(), files["comm"])]


def _read_proc(process: psutil.Process) -> dict[str, bytes] | None:
    directory = Path("/proc") / str(process.pid)
    try:
        return {name: (directory / name).read_bytes() for name in ("comm", "cmdline", "environ", "limits")}
    except OSError:
        return None  # the process has ended meanwhile


def files_below(*directories: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield path and content of each file, without those that are deleted meanwhile."""
    for directory in directories:
        for path in directory.rglob("*"):
            try:
                if path.is_file() and not path.is_symlink():
                    yield path, path.read_bytes()
            except OSError:
                continue
