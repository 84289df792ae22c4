"""The servers that the suite starts once, and a fresh database of each for every test."""

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import redis

from infrastructure.database.address import asyncpg_url
from infrastructure.database.migrate import upgrade
from infrastructure.embedded import EmbeddedStack
from infrastructure.embedded_servers import Postgres, Valkey

T = TypeVar("T")
TEMPLATE = "migrated"
REDIS_DATABASES = 1024


def in_thread(work: Coroutine[Any, Any, T]) -> T:
    """Run it on a loop of its own: the test's loop is the test's."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


@contextmanager
def temporary_directory() -> Iterator[Path]:
    # Not pytest's tmp_path, which no other user may enter: as root the servers run as another user.
    path = Path(tempfile.mkdtemp(prefix="vibe8-test-"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path)


class Servers:
    """A PostgreSQL with a migrated template database, and a Valkey."""

    def __init__(self, postgres: Postgres, valkey: Valkey, directory: Path) -> None:
        self.directory = directory
        self.postgres = postgres
        self.valkey = valkey
        self._numbers = itertools.count(1)

    def new_database(self, template: str | None = TEMPLATE) -> str:
        """A database's name: migrated, or empty where no template is named."""
        name = f"test_{next(self._numbers)}"
        in_thread(self._execute(f"CREATE DATABASE {name} TEMPLATE {template or 'template0'}"))
        return name

    def drop_database(self, name: str) -> None:
        in_thread(self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))

    def new_redis_url(self) -> str:
        url = self.valkey.url(next(self._numbers) % REDIS_DATABASES)
        with redis.Redis.from_url(url) as client:
            client.flushdb()
        return url

    def make_template(self) -> None:
        in_thread(self._execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0"))
        in_thread(upgrade(asyncpg_url(self.postgres.url(TEMPLATE))))

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.postgres.url())
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@contextmanager
def running_servers() -> Iterator[Servers]:
    with temporary_directory() as directory:
        stack = EmbeddedStack(directory, durable=False)
        with stack:
            assert stack.postgres is not None
            assert stack.valkey is not None
            servers = Servers(stack.postgres, stack.valkey, directory)
            servers.make_template()
            yield servers
