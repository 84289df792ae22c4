from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.sources.tree.layout import SourceLayout
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.git_server import GitServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with GitServer(tmp_path_factory.mktemp("host")) as running:
        yield running


@pytest.fixture
def scratch(tmp_path: Path) -> SourceLayout:
    root = tmp_path / "scratch"
    root.mkdir()
    return SourceLayout(root)


@pytest.fixture
def work(tmp_path: Path) -> WorkTree:
    tree = WorkTree(tmp_path / "work")
    tree.commit(a_py="x = 1\n")
    return tree


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return f"owner/{abs(hash(request.node.nodeid))}"
