"""`analyze` with a cache in the user's directory gives the same result as without."""

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.git_repository import WorkTree
from tests.fixtures.worker_process import System
from tests.integration.cli.command_support import without_services

CODE = '"""A module."""\n\nimport os\nimport requests\n\n\ndef run(command):\n    """Run."""\n    os.system(command)\n'
BROKEN = "def broken(:\n"


@pytest.fixture
def cli(tmp_path: Path) -> System:
    return without_services(tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache"))


@pytest.fixture
def tree(tmp_path: Path) -> WorkTree:
    tree = WorkTree(tmp_path / "tree")
    tree.commit("one", a_py=CODE, b_py=CODE + "x = 1\n", c_py=BROKEN)
    tree.commit("two", a_py=CODE + "y = 2\n", d_py="import a\n")
    tree.write("requirements.txt", "requests==2.0\n")
    return tree


def facts(tmp_path: Path) -> list[Path]:
    directory = tmp_path / "cache" / "vibe8" / "facts"
    return sorted(directory.iterdir()) if directory.exists() else []


async def analyze(cli: System, *options: str, **environment: str) -> dict[str, Any]:
    """Return the result without its times, which are those of this analysis."""
    finished = await cli.run("analyze", "tree", "--json", *options, **environment)
    assert (finished.code, finished.error) == (0, "")
    document: dict[str, Any] = finished.document
    del document["source"]["created_at"]
    return {**document, "timings_ms": None}


async def test_result_is_the_same_with_a_cold_a_warm_and_a_damaged_cache(
    cli: System, tree: WorkTree, tmp_path: Path
) -> None:
    expected = await analyze(cli, "--no-cache")
    assert facts(tmp_path) == []
    assert await analyze(cli) == expected
    kept = facts(tmp_path)
    assert len(kept) >= 2 * 4
    assert await analyze(cli) == expected
    chance = random.Random(1)
    for path in chance.sample(kept, len(kept) // 2):
        data = bytearray(path.read_bytes())
        data[chance.randrange(len(data))] ^= 0xFF
        path.write_bytes(chance.choice([bytes(data), bytes(data[: len(data) // 2]), b""]))
    assert await analyze(cli) == expected
    assert await analyze(cli) == expected


async def test_changed_tree_is_analysed_anew(cli: System, tree: WorkTree, tmp_path: Path) -> None:
    before = await analyze(cli)
    tree.commit("three", a_py="z = 3\n")
    changed = await analyze(cli)
    assert changed != before
    assert changed == await analyze(cli, "--no-cache")


async def test_runs_at_the_same_time_share_the_cache(cli: System, tree: WorkTree) -> None:
    expected = await analyze(cli, "--no-cache")
    assert await asyncio.gather(*(analyze(cli) for _ in range(3))) == [expected] * 3
    assert await analyze(cli) == expected


async def test_nothing_is_kept_if_the_setting_or_the_option_says_so(
    cli: System, tree: WorkTree, tmp_path: Path
) -> None:
    await analyze(cli, FACTS_CACHE_MB="0")
    await analyze(cli, "--no-cache")
    assert facts(tmp_path) == []


async def test_other_directory_with_the_same_files_shares_nothing(cli: System, tree: WorkTree, tmp_path: Path) -> None:
    await analyze(cli)
    kept = set(facts(tmp_path))
    (tmp_path / "tree").rename(tmp_path / "moved")
    assert (await cli.run("analyze", "moved", "--json")).code == 0
    assert len(facts(tmp_path)) >= 2 * len(kept) - 2


@contextmanager
def recording_index() -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a package index without packages, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/simple", asked
        server.shutdown()
        thread.join()


async def test_analyze_says_that_it_asks_an_index_and_offline_asks_none(cli: System, tree: WorkTree) -> None:
    with recording_index() as (address, asked):
        offline = await cli.run("analyze", "tree", "--offline", "--no-cache", PACKAGE_INDEX_URL=address)
        assert (offline.code, asked) == (0, [])
        assert "--offline" not in offline.out
        online = await cli.run("analyze", "tree", "--no-cache", PACKAGE_INDEX_URL=address)
        assert (online.code, asked) == (0, ["/simple/requests/"])
        assert "a package index was asked for the newest versions of packages (--offline asks none)" in online.out
