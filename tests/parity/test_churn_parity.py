"""`churn`, compared with git's command line on a bare clone, for each way in which a source is submitted."""

import base64
import io
import os
import subprocess
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from collectors.contract import Totals
from collectors.metrics.churn import COLLECTOR
from domain.metrics.report import Report
from domain.sources import FetchedSource
from domain.text import printable
from infrastructure.sources.git.clone import fetch_repository
from infrastructure.sources.git.history import GitHistory
from infrastructure.sources.local.directory import fetch_directory
from infrastructure.sources.local.packing import pack_directory
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import SourceLimits
from infrastructure.sources.uploads.upload import fetch_upload
from tests.fixtures.git_repository import IDENTITY, WorkTree, git
from tests.fixtures.network.git_server import GitServer
from tests.unit.collectors.source_trees import load_tree


@dataclass
class GitCounts:
    """Counts of `git rev-list` and `git log`."""

    commits: int
    total: int
    lines: Counter[str]


def git_counts(work: WorkTree, directory: Path) -> GitCounts:
    """Make a bare clone in the directory, as the specification says, and add up the lines of `git log`."""
    git(directory, "clone", "-q", "--bare", work.path.as_uri(), "bare.git")

    def command(*arguments: str) -> bytes:
        environment = {"PATH": os.environ["PATH"], "HOME": str(directory), **IDENTITY}
        words = ["git", "--no-replace-objects", f"--git-dir={directory / 'bare.git'}", *arguments]
        return subprocess.run(words, cwd=directory, env=environment, capture_output=True, check=True).stdout

    lines: Counter[str] = Counter()
    output = command("log", "--numstat", "--no-merges", "--no-renames", "--format=", "-z")
    for line in output.split(b"\0")[:-1]:
        added, deleted, path = line.split(b"\t", 2)
        if path.endswith(b".py") and added != b"-":
            lines[printable(os.fsdecode(path))] += int(added) + int(deleted)
    return GitCounts(int(command("rev-list", "--count", "--no-merges", "HEAD")), sum(lines.values()), lines)


def measure(layout: SourceLayout, source: FetchedSource) -> Report:
    history = GitHistory(layout.repository) if source.has_history else None
    tree = load_tree(layout.tree, manifests=layout.manifests, history=history)
    totals = Totals(sloc=dict.fromkeys(entry.path for entry in tree.entries))
    return COLLECTOR.summarize(COLLECTOR.collect_tree(tree), totals)


# Histories


def merges(work: WorkTree) -> None:
    work.commit(a_py="1\n2\n3\n", b_py="b\n")
    work.git("checkout", "-q", "-b", "side")
    work.commit(a_py="1\ntwo\n3\n", side_py="s\n" * 7)
    work.git("checkout", "-q", "main")
    work.commit(a_py="1\n2\nthree\n")
    work.git("merge", "-q", "--no-commit", "--no-ff", "-s", "ours", "side")
    work.write("a.py", "resolved\nby hand\n")
    work.commit("a merge with changes of its own", evil_py="only in the merge\n")
    work.commit(b_py="b\nafter\n")


def octopus(work: WorkTree) -> None:
    work.commit(base_py="base\n")
    for name in ("one", "two", "three"):
        work.git("checkout", "-q", "-b", name, "main")
        work.commit(**{f"{name}_py": f"{name}\n" * 3})
    work.git("checkout", "-q", "main")
    work.git("merge", "-q", "-m", "three at once", "one", "two", "three")


def reverted_side_branch(work: WorkTree) -> None:
    """Nothing of the branch is in the last tree, so history simplification by a pathspec would omit it."""
    work.commit(a_py="1\n2\n3\n")
    work.git("checkout", "-q", "-b", "side")
    work.commit(a_py="1\n2\n3\n4\n5\n6\n")
    work.commit(a_py="1\n2\n3\n")
    work.git("checkout", "-q", "main")
    work.commit(other_py="x\n")
    work.merge("side")


def renames_and_deletions(work: WorkTree) -> None:
    work.commit(old_py="line\n" * 20, gone_py="gone\n" * 5, notes="text\n")
    work.git("mv", "old.py", "new.py")
    work.commit("renamed")
    work.git("mv", "new.py", "newer.txt")
    work.commit("renamed away")
    work.git("mv", "newer.txt", "back.py")
    (work.path / "gone.py").unlink()
    work.commit("deleted", back_again_py="x\n")
    work.write("back.py", "line\n" * 10, mode=0o755)
    work.commit("mode and content")


def attributes(work: WorkTree) -> None:
    work.write(".gitattributes", "*.py -diff\nb.py binary\nc.py text eol=crlf\n")
    work.commit(a_py="1\n2\n", b_py="1\n", c_py="1\n2\n")
    work.commit(a_py="1\n", b_py="2\n")


def contents(work: WorkTree) -> None:
    work.write("binary.py", b"\0\1\2" * 50)
    work.write("utf16.py", "x = 1\n".encode("utf-16"))
    work.commit(
        no_newline_py="a\nb", crlf_py="a\r\nb\r\n", cr_py="a\rb\rc", empty_py="", separators_py="a\x0cb\u2028c\x1cd\n"
    )
    work.write("binary.py", b"text now\n")
    work.commit(no_newline_py="a\nb\n", crlf_py="a\nb\n", empty_py="full\n")
    work.write("empty.py", b"\0")
    work.commit("binary now")


def names(work: WorkTree) -> None:
    for name in (
        b"tab\t.py",
        b"new\nline.py",
        b'"quoted".py',
        b"back\\slash.py",
        b"\xff\xfe.py",
        "ünï.py".encode(),
        b" .py",
    ):
        work.write(b"d/" + name, b"1\n2\n")
    for name in (
        b"-rf.py",
        b"--numstat.py",
        b"a=>b.py",
        b"{old => new}.py",
        b".py",
        b"x.PY",
        b"x.pyi",
        b"py",
        b"a.py/b.py",
    ):
        work.write(name, b"1\n2\n3\n")
    work.commit()
    work.write(b"d/tab\t.py", b"changed\n")
    work.write(b"{old => new}.py", b"changed\n")
    work.commit()


def replaced(work: WorkTree) -> None:
    work.commit(a_py="1\n2\n")
    head = work.commit(a_py="1\n2\n3\n")
    work.git("replace", "--graft", head)
    work.commit(b_py="b\n")


def links_and_submodules(work: WorkTree) -> None:
    (work.path / "link.py").symlink_to("a.py")
    sha = work.commit(a_py="1\n")
    work.git("update-index", "--add", "--cacheinfo", f"160000,{sha},sub.py")
    work.git("commit", "-q", "-m", "a submodule by the name of a file")
    (work.path / "link.py").unlink()
    work.write("link.py", "a file\nnow\n")
    work.git("add", "link.py")
    work.git("commit", "-q", "-m", "a file")


def many_commits(work: WorkTree) -> None:
    for number in range(60):
        work.commit(**{f"m{number % 7}_py": f"{number}\n" * (number % 5 + 1)})
        if number % 10 == 0:
            work.commit("empty")


HISTORIES = [
    merges, octopus, reverted_side_branch, renames_and_deletions, attributes, contents, names, replaced,
    links_and_submodules, many_commits,
]  # fmt: skip


# Ways to submit a source


def by_clone(work: WorkTree, layout: SourceLayout, git_server: GitServer) -> FetchedSource:
    url = git_server.add(f"owner/{abs(hash(work.path))}", work.dot_git)
    hosts = [git_server.allowed_host]
    return fetch_repository(url, None, None, layout, SourceLimits(), ca_bundle=git_server.ca_file, allowed_hosts=hosts)


def by_directory(work: WorkTree, layout: SourceLayout, _: GitServer) -> FetchedSource:
    return fetch_directory(work.path, layout, SourceLimits())


def by_archive(work: WorkTree, layout: SourceLayout, _: GitServer) -> FetchedSource:
    """A zip file of the whole directory, `.git` included."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(work.path.rglob("*")):
            name = str(path.relative_to(work.path))
            if path.is_file() and not path.is_symlink() and printable(name) == name:
                archive.write(path, name)
    return fetch_upload("u.zip", base64.b64encode(buffer.getvalue()).decode(), layout, SourceLimits())


def by_packing(work: WorkTree, layout: SourceLayout, _: GitServer) -> FetchedSource:
    """The archive that `vibe8 submit DIRECTORY` sends."""
    data = pack_directory(work.path, with_history=True)
    return fetch_upload("u.zip", base64.b64encode(data).decode(), layout, SourceLimits())


SUBMISSIONS = [by_clone, by_directory, by_archive, by_packing]
Submission = Callable[[WorkTree, SourceLayout, GitServer], FetchedSource]


@pytest.mark.parametrize("submit", SUBMISSIONS)
@pytest.mark.parametrize("history", HISTORIES)
def test_churn_equals_git_log(
    tmp_path: Path,
    layout: SourceLayout,
    git_server: GitServer,
    history: Callable[[WorkTree], None],
    submit: Submission,
) -> None:
    work = WorkTree(tmp_path / "work")
    history(work)
    expected = git_counts(work, tmp_path)
    report = measure(layout, submit(work, layout, git_server))
    assert report.aggregate == {
        "total_commits": expected.commits,
        "totalChurn": expected.total,
        "churn_score": max(0, 100 - expected.total / 10),
    }
    assert report.gaps == []
    assert report.per_file
    renamed_by_packing = {path for path in report.per_file if submit is by_packing and "%" in path}
    for path in set(report.per_file) - renamed_by_packing:
        assert report.per_file[path] == {"lines": expected.lines[path]}, path


def test_histories_defeat_simplification_and_attributes(tmp_path: Path) -> None:
    work = WorkTree(tmp_path / "work")
    reverted_side_branch(work)
    full = git_counts(work, tmp_path)
    simplified = work.git("log", "--numstat", "--no-merges", "--no-renames", "--format=", "--", "*.py")
    assert full.lines["a.py"] == 9
    assert simplified.count(b"a.py") == 1
    other = WorkTree(tmp_path / "other")
    attributes(other)
    assert b"-\t-\ta.py" in other.git("log", "--numstat", "--format=")


@pytest.mark.parametrize("submit", [by_clone, by_directory, by_packing])
def test_shallow_history_equals_git_log_and_is_a_gap(
    tmp_path: Path, layout: SourceLayout, git_server: GitServer, submit: Submission
) -> None:
    full = WorkTree(tmp_path / "full")
    many_commits(full)
    shallow = WorkTree.__new__(WorkTree)
    shallow.path = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth=5", full.path.as_uri(), "shallow")
    expected = git_counts(shallow, tmp_path)
    report = measure(layout, submit(shallow, layout, git_server))
    assert expected.commits == 5
    assert (report.aggregate["total_commits"], report.aggregate["totalChurn"]) == (5, expected.total)
    assert list(report.gaps) == ["history is shallow: its oldest commit counts every file as added"]
    assert {path: numbers["lines"] for path, numbers in report.per_file.items()} == dict(expected.lines)


def test_subdirectory_equals_git_log_of_that_directory(tmp_path: Path, layout: SourceLayout) -> None:
    work = WorkTree(tmp_path / "work")
    for number in range(5):
        work.write("pkg/inner/a.py", "x\n" * (number + 1))
        work.write("pkgs/a.py", f"{number}\n")
        work.commit(a_py=f"{number}\n")
    expected = git_counts(work, tmp_path)
    report = measure(layout, fetch_directory(work.path / "pkg", layout, SourceLimits()))
    assert report.aggregate["total_commits"] == expected.commits == 5
    assert report.aggregate["totalChurn"] == expected.lines["pkg/inner/a.py"] == 5
    assert report.per_file == {"inner/a.py": {"lines": 5}}
