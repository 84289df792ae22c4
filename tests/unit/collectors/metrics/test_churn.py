import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.contract import Totals, TreeCollector
from collectors.metrics.churn import COLLECTOR
from collectors.source.source_tree import SourceTree
from domain.errors import PermanentError
from domain.history.commits import CommitList, LoggedCommit
from domain.history.document import NO_HISTORY, SHALLOW
from domain.metrics.report import Report
from tests.unit.collectors.source_trees import load_tree


class FakeHistory:
    """A `domain.ports.History` with given changes."""

    def __init__(self, *lines: tuple[str, int, int], commits: int = 3, shallow: bool = False) -> None:
        self._lines = lines
        self._commits = commits
        self._shallow = shallow

    def head(self) -> tuple[str, int]:
        return "0" * 40, 1_700_000_000

    def is_ancestor(self, commit: str) -> bool:
        return False

    def path_scope(self) -> str:
        return ""

    def commit_digest(self, commit: str) -> bytes:
        return b"digest"

    def list_commits(self, *, since: str | None = None) -> CommitList:
        return CommitList(b"0\n" * self._commits, 0)

    def log(self, commits: CommitList) -> Iterator[LoggedCommit]:
        changes = [(path, added, deleted, False) for path, added, deleted in self._lines]
        yield LoggedCommit(1_700_000_000, "A", "a@example.org", changes=changes)

    def is_partial(self) -> bool:
        return False

    def is_shallow(self) -> bool:
        return self._shallow


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.py", "pkg/b.py", "odd\x1b.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    return tmp_path


def measure(tree: SourceTree) -> Report:
    return COLLECTOR.summarize(
        COLLECTOR.collect_tree(tree), Totals(sloc=dict.fromkeys(entry.path for entry in tree.entries))
    )


def test_churn_is_a_tree_collector_with_the_version_of_git() -> None:
    assert isinstance(COLLECTOR, TreeCollector)
    assert (COLLECTOR.metric.name, COLLECTOR.metric.tool) == ("churn", "git")
    command = ["git", "version"]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert f"git version {COLLECTOR.metric.version}" in printed


def test_changed_lines_are_summed_in_total_and_by_file(root: Path) -> None:
    history = FakeHistory(
        ("a.py", 3, 1), ("a.py", 2, 0), ("pkg/b.py", 1, 1), ("deleted.py", 5, 5), ("odd\x1b.py", 1, 0)
    )
    report = measure(load_tree(root, history=history))
    assert report.aggregate == {"total_commits": 3, "totalChurn": 19, "churn_score": 98.1}
    assert report.per_file == {"a.py": {"lines": 6}, "odd\\x1b.py": {"lines": 1}, "pkg/b.py": {"lines": 2}}
    assert (list(report.gaps), list(report.findings)) == ([], [])


def test_only_analysed_paths_count(root: Path) -> None:
    history = FakeHistory(
        ("notes.md", 9, 9), ("a.pyi", 9, 9), ("venv/x.py", 9, 9), ("d/node_modules/y/z.py", 9, 9), ("venv.py", 1, 0),
        ("a.PY", 9, 9), ("py", 9, 9),
    )  # fmt: skip
    report = measure(load_tree(root, history=history))
    assert report.aggregate["totalChurn"] == 1


def test_file_without_a_commit_has_no_changed_lines(root: Path) -> None:
    report = measure(load_tree(root, history=FakeHistory(commits=0)))
    assert report.aggregate == {"total_commits": 0, "totalChurn": 0, "churn_score": 100.0}
    assert set(map(str, report.per_file.values())) == {"{'lines': 0}"}


def test_numbers_are_null_without_history(root: Path) -> None:
    report = measure(load_tree(root))
    aggregate = {"total_commits": None, "totalChurn": None, "churn_score": None}
    assert report == Report(aggregate=aggregate, history=NO_HISTORY)


def test_shallow_history_is_a_gap(root: Path) -> None:
    report = measure(load_tree(root, history=FakeHistory(("a.py", 1, 0), shallow=True)))
    assert report.aggregate["totalChurn"] == 1
    assert list(report.gaps) == ["history is shallow: its oldest commit counts every file as added"]
    assert report.history == SHALLOW


def test_much_churn_scores_zero(root: Path) -> None:
    report = measure(load_tree(root, history=FakeHistory(("a.py", 600, 500))))
    assert report.aggregate["churn_score"] == 0.0


def test_failure_of_git_is_raised(root: Path) -> None:
    class Broken(FakeHistory):
        def log(self, commits: CommitList) -> Iterator[LoggedCommit]:
            raise PermanentError("the history cannot be read: bad object")

    with pytest.raises(PermanentError, match="bad object"):
        COLLECTOR.collect_tree(load_tree(root, history=Broken()))
