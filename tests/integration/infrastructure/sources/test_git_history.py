import os
from pathlib import Path
from typing import Any

import pytest

from domain.errors import PermanentError
from domain.history.commits import CommitList
from infrastructure.sources.git import history, parallel_log
from infrastructure.sources.git.command import EMPTY_TREE_ID, GitFailedError, GitProcess, run_git
from infrastructure.sources.git.history import GitHistory, PathMapping
from tests.fixtures.git_repository import WorkTree


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 9])
def test_several_processes_find_what_one_finds(
    work_tree: WorkTree, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    work_tree.git("checkout", "-q", "-b", "side", "HEAD~1")
    work_tree.commit(side_py="1\n2\n3\n")
    work_tree.git("checkout", "-q", "main")
    work_tree.merge("side")
    for number in range(20):
        work_tree.commit(f"{number}", a_py=f"{number}\n" * number)
    monkeypatch.setattr(parallel_log, "MIN_COMMITS", 2)
    opened = GitHistory(work_tree.dot_git, processes=processes)
    commits = opened.list_commits()
    assert (len(commits), commits.merges) == (23, 1)
    assert commits.ids() == work_tree.git("rev-list", "--no-merges", "HEAD").decode().split()
    started = record_processes(monkeypatch)
    found = list(opened.log(commits))
    assert len(started) == min(processes, parallel_log.MAX_PROCESSES)
    assert sorted(found) == sorted(GitHistory(work_tree.dot_git).log())
    output = work_tree.git(
        "log", "--numstat", "--format=", "--no-merges", "--no-renames", "HEAD", "--", "*.py"
    ).decode()
    found_lines = [f"{added}\t{deleted}\t{path}" for path, added, deleted in opened.numstat()]
    assert sorted(found_lines) == sorted(filter(None, output.split("\n")))


def test_without_commits_no_process_starts(work_tree: WorkTree, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = GitHistory(work_tree.dot_git)
    none = opened.list_commits(since=work_tree.head())
    started = record_processes(monkeypatch)
    assert (len(none), list(opened.log(none)), started) == (0, [], [])


@pytest.mark.parametrize(
    ("commits", "processes", "parts"), [(1_999, 8, 1), (2_000, 8, 2), (9_999, 8, 4), (9_999, 0, 1)]
)
def test_few_commits_are_not_split(commits: int, processes: int, parts: int) -> None:
    ids = [f"{number:040d}" for number in range(commits)]
    split = parallel_log.split_commits(CommitList("".join(f"{each}\n" for each in ids).encode(), 0), processes)
    assert len(split) == parts
    assert sorted(b"".join(split).decode().split()) == ids
    sizes = [part.count(b"\n") for part in split]
    assert max(sizes) - min(sizes) <= 2


def test_one_process_that_fails_is_an_error(work_tree: WorkTree, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        work_tree.commit(a_py=f"{number}\n")
    monkeypatch.setattr(parallel_log, "MIN_COMMITS", 2)
    blob = work_tree.git("rev-parse", "HEAD~6:a.py").decode().strip()
    (work_tree.dot_git / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(PermanentError, match="the history cannot be read: "):
        list(GitHistory(work_tree.dot_git, processes=3).log())


def test_binary_files_are_left_out(work_tree: WorkTree) -> None:
    work_tree.write("image.py", b"\0\1\2")
    work_tree.commit(text_py="x\n")
    assert ("text.py", 1, 0) in list(GitHistory(work_tree.dot_git).numstat())
    assert "image.py" not in {path for path, _, _ in GitHistory(work_tree.dot_git).numstat()}


@pytest.mark.parametrize("name", [b"tab\t.py", b"new\nline.py", b'"quoted".py', b"\xff\xfe.py", "ünï.py".encode()])
def test_unusual_paths_are_returned_unchanged(work_tree: WorkTree, name: bytes) -> None:
    work_tree.write(name, "x\n")
    work_tree.commit()
    assert (os.fsdecode(name), 1, 0) in list(GitHistory(work_tree.dot_git).numstat())


def test_added_lines_are_those_of_a_diff_that_finds_renames(work_tree: WorkTree) -> None:
    work_tree.commit(moved_py="".join(f"line {number}\n" for number in range(30)), gone_py="1\n2\n")
    base = work_tree.head()
    work_tree.git("mv", "moved.py", b"new\nname.py")
    work_tree.git("rm", "-q", "gone.py")
    work_tree.write(b"new\nname.py", "".join(f"line {number}\n" for number in range(33)))
    work_tree.write("image.py", b"\0\1\2")
    work_tree.commit(a_py="x = 1\n", fresh_py="x = 1\ny = 2\n", notes_md="text\n")
    found = GitHistory(work_tree.dot_git).added_lines(base)
    assert found == {"a.py": 0, "fresh.py": 2, "gone.py": 0, "new\nname.py": 3}


def test_added_lines_since_a_commit_of_another_branch_are_counted(work_tree: WorkTree) -> None:
    work_tree.git("checkout", "-q", "-b", "side")
    work_tree.commit(a_py="x = 1\nz = 3\n")
    side = work_tree.head()
    work_tree.git("checkout", "-q", "main")
    work_tree.commit(b_py="1\n")
    assert GitHistory(work_tree.dot_git).added_lines(side) == {"a.py": 1, "b.py": 1}


@pytest.mark.parametrize("commit", ["0" * 40, "HEAD", "--output=x", "", "\ud800"])
def test_added_lines_since_an_unknown_commit_are_unknown(work_tree: WorkTree, commit: str) -> None:
    assert GitHistory(work_tree.dot_git).added_lines(commit) is None


def test_path_mapping_is_stored_in_the_repository(tmp_path: Path) -> None:
    assert PathMapping.load(tmp_path) == PathMapping()
    assert PathMapping().to_tree_path(b"a/b.py") == b"a/b.py"
    mapping = PathMapping(history_directory=b"src/\xff")
    mapping.save(tmp_path)
    assert PathMapping.load(tmp_path) == mapping
    assert mapping.to_tree_path(b"src/\xff/a.py") == b"a.py"
    assert mapping.to_tree_path(b"src/\xffother/a.py") is None
    assert mapping.to_tree_path(b"a.py") is None
    assert PathMapping(tree_directory=b"project").to_tree_path(b"a.py") == b"project/a.py"


def test_unreadable_history_is_a_one_line_error(work_tree: WorkTree) -> None:
    head = work_tree.head()
    (work_tree.dot_git / "objects" / head[:2] / head[2:]).unlink()
    opened = GitHistory(work_tree.dot_git)
    for attempt in (opened.list_commits, lambda: list(opened.numstat())):
        with pytest.raises(PermanentError, match="the history cannot be read: ") as raised:
            attempt()
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("processes", [1, 2])
def test_closing_the_iterator_stops_git(work_tree: WorkTree, monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    # A commit is returned when the next one begins. git blocks while it writes more than a pipe can hold.
    directory = "/".join(["d" * 250] * 3)
    for content in ("x\n", "y\n"):
        work_tree.commit(**{f"{directory}/{number}_py": content for number in range(2_000)})
        work_tree.commit(newest_py=content)
    monkeypatch.setattr(parallel_log, "MIN_COMMITS", 2)
    opened = GitHistory(work_tree.dot_git, processes=processes)
    commits = opened.list_commits()
    started = record_processes(monkeypatch)
    lines = opened.numstat(commits)
    next(lines)
    assert len(started) == processes
    assert any(process.is_running() for process in started)
    lines.close()  # type: ignore[attr-defined]
    assert not any(process.is_running() for process in started)
    assert list(lines) == []


def record_processes(monkeypatch: pytest.MonkeyPatch) -> list[GitProcess]:
    """Return a list to which each git process of a history is added when it starts."""
    started: list[GitProcess] = []

    class RecordedProcess(GitProcess):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(history, "GitProcess", RecordedProcess)
    return started


def test_git_inherits_no_environment_variables(
    work_tree: WorkTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "marker"
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", f"'alias.version'='!touch {marker}'")
    monkeypatch.setenv("GIT_TRACE", str(marker))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("OPERATORS_SECRET", "s3cret")
    assert len(GitHistory(work_tree.dot_git).list_commits()) == 2
    assert not marker.exists()
    shown = run_git(work_tree.dot_git, "-c", "alias.show-environment=!env", "show-environment").decode()
    assert "OPERATORS_SECRET" not in shown
    assert "HTTPS_PROXY" not in shown
    assert "GIT_CONFIG_NOSYSTEM=1" in shown


def test_attributes_of_the_tree_are_disabled(work_tree: WorkTree) -> None:
    assert run_git(work_tree.dot_git, "config", "attr.tree").decode().strip() == EMPTY_TREE_ID


def test_git_is_killed_after_its_timeout(work_tree: WorkTree, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "never.pack")  # no process opens it for writing
    with pytest.raises(GitFailedError) as raised:
        run_git(work_tree.dot_git, "index-pack", str(tmp_path / "never.pack"), timeout=0.2)
    assert raised.value.status < 0


def test_output_over_the_limit_is_refused(work_tree: WorkTree) -> None:
    work_tree.write("big.bin", b"x" * (2 << 20))
    work_tree.commit()
    with pytest.raises(GitFailedError, match="wrote more than"):
        run_git(work_tree.dot_git, "cat-file", "blob", "HEAD:big.bin")
