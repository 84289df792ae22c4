from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infrastructure.sources.tree.layout import SourceLayout
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.git_server import GitServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with GitServer(tmp_path_factory.mktemp("host"), names=["git.example.test"]) as running:
        yield running


@pytest.fixture
def scratch(tmp_path: Path) -> SourceLayout:
    root = tmp_path / "scratch"
    root.mkdir()
    return SourceLayout(root)


@pytest.fixture
def new_scratch(tmp_path: Path) -> Callable[[], SourceLayout]:
    def make() -> SourceLayout:
        root = tmp_path / f"scratch-{len(list(tmp_path.glob('scratch-*')))}"
        root.mkdir()
        return SourceLayout(root)

    return make


@pytest.fixture
def work(tmp_path: Path) -> WorkTree:
    """Two commits on main: a.py with two lines, run.py executable, requirements.txt, notes.md."""
    tree = WorkTree(tmp_path / "work")
    tree.write("pkg/run.py", "#!/usr/bin/env python\n", mode=0o755)
    tree.write("requirements.txt", "httpx==1\n")
    tree.write("notes.md", "notes\n")
    tree.commit(a_py="x = 1\n")
    tree.commit(a_py="x = 1\ny = 2\n")
    return tree
