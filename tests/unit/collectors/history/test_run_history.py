"""The `history` of a run, from a log of commits and the files of a tree."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.engine.analysis import Options, analyse
from domain.errors import PermanentError
from domain.history.commits import CommitList, LoggedCommit
from domain.history.document import FAILED, NO_HISTORY, PARTIAL, SHALLOW
from domain.metrics.report import Analysis
from domain.ports import History
from domain.sources import FetchedSource
from tests.unit.collectors.metrics.test_churn import FakeHistory
from tests.unit.collectors.source_trees import load_tree

FILES = {
    "pkg/__init__.py": "",
    "pkg/a.py": "from pkg import b\n\n\ndef f(x):\n    return b.g(x)\n",
    "pkg/b.py": "def g(x):\n    if x:\n        return 1\n    return 2\n",
    "pkg/c.py": "def h():\n    return 3\n",
    "tests/test_c.py": "def test_h():\n    assert True\n",
}
NOW = 1_700_000_000


class LoggedHistory(FakeHistory):
    """Ten commits of a and b, of c and its test, and of b and c; others of the package's file and of a deleted one."""

    def log(self, commits: CommitList) -> Iterator[LoggedCommit]:
        together = [("pkg/a.py", "pkg/b.py"), ("pkg/c.py", "tests/test_c.py"), ("pkg/b.py", "pkg/c.py")]
        others = [*[("pkg/__init__.py",)] * 20, *[("gone.py",)] * 60]
        for paths in [*(pair for pair in together for _ in range(10)), *others]:
            yield LoggedCommit(NOW, "Ann", "ann@example.org", changes=[(path, 5, 1, False) for path in paths])


def run(root: Path, history: History | None) -> Analysis:
    for name, text in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    tree = load_tree(root, manifests=root, history=history)
    return analyse(tree, FetchedSource(has_history=history is not None), Options(processes=1, collector_timeout=120))


def test_history_uses_roles_imports_and_health_of_the_same_run(tmp_path: Path) -> None:
    result = run(tmp_path, LoggedHistory(commits=110))
    history = result.history
    kinds = {(pair["left"], pair["right"]): (pair["kind"], pair["because"]) for pair in history["coupling"]["pairs"]}
    assert kinds == {
        ("pkg/a.py", "pkg/b.py"): ("expected", "import"),
        ("pkg/b.py", "pkg/c.py"): ("hidden", None),
        ("pkg/c.py", "tests/test_c.py"): ("expected", "test"),
    }
    hotspots = {spot["path"]: spot for spot in history["hotspots"]["files"]}
    assert set(hotspots) == {"pkg/__init__.py", "pkg/b.py"}  # 20 and 20 of 70 weighted commits
    package = next(node for node in result.file_tree["children"] if node["name"] == "pkg")
    health = {node["path"]: node["metrics"]["health_score"] for node in package["children"]}
    assert hotspots["pkg/b.py"]["health"] > health["pkg/b.py"]  # churn lowers the latter
    assert history["ownership"]["truck_factor"] == {"people": 1, "names": ["Ann"], "covered": 1.0}


class Partial(FakeHistory):
    def is_partial(self) -> bool:
        return True

    def log(self, commits: CommitList) -> Iterator[LoggedCommit]:
        raise PermanentError("the history cannot be read: missing blob")


class Broken(FakeHistory):
    def log(self, commits: CommitList) -> Iterator[LoggedCommit]:
        raise PermanentError("the history cannot be read: bad object")


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        (None, NO_HISTORY),
        (FakeHistory(("pkg/a.py", 1, 0), shallow=True), SHALLOW),
        (Partial(), PARTIAL),
        (Broken(), FAILED),
    ],
)
def test_run_without_a_whole_history_says_why(tmp_path: Path, history: History | None, reason: str) -> None:
    result = run(tmp_path, history)
    assert {key: value for key, value in result.history.items() if value is not None} == {"reason": reason}
    assert reason != FAILED or "churn collector failed: PermanentError: the history" in result.errors[0]
