import os
from collections.abc import Callable
from pathlib import Path

import pytest

from domain.errors import InvalidInputError
from domain.sources import FetchedSource
from infrastructure.sources.git.history import GitHistory
from infrastructure.sources.local.directory import fetch_directory
from infrastructure.sources.local.history import paths_to_read
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import MIB, SourceLimits
from tests.fixtures.git_repository import WorkTree, git
from tests.fixtures.sources import copied_files


def python_files(layout: SourceLayout) -> dict[str, str]:
    return {str(path.relative_to(layout.tree)): path.read_text() for path in copied_files(layout.tree)}


def reasons(source: FetchedSource) -> dict[str, str]:
    return {item.path: item.reason for item in source.skipped}


def test_files_are_those_on_disk_and_history_is_that_of_head(work_tree: WorkTree, layout: SourceLayout) -> None:
    work_tree.write("a.py", "changed = True\n")
    work_tree.write("untracked.py", "u = 1\n")
    (work_tree.path / "pkg/run.py").unlink()
    source = fetch_directory(work_tree.path, layout, SourceLimits())
    assert source == FetchedSource(has_history=True, commit_sha=work_tree.head(), branch="main")
    assert python_files(layout) == {"a.py": "changed = True\n", "untracked.py": "u = 1\n"}
    assert (layout.manifests / "requirements.txt").exists()
    history = GitHistory(layout.repository)
    assert len(history.list_commits()) == 2
    assert [line for line in history.numstat() if line[0] == "a.py"] == [("a.py", 1, 0), ("a.py", 1, 0)]


def test_objects_are_not_copied(work_tree: WorkTree, layout: SourceLayout) -> None:
    fetch_directory(work_tree.path, layout, SourceLimits())
    assert paths_to_read(work_tree.path).collecting == (work_tree.dot_git / "objects",)
    copied = [path for path in (layout.repository / "objects").rglob("*") if path.is_file()]
    assert copied == [layout.repository / "objects/info/alternates"]


def test_alternates_of_the_repository_are_readable_too(
    work_tree: WorkTree, layout: SourceLayout, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "-q", "--shared", str(work_tree.path), "sharing")
    source = fetch_directory(tmp_path / "sharing", layout, SourceLimits())
    assert source.commit_sha == work_tree.head()
    stores = (tmp_path / "sharing/.git/objects", work_tree.dot_git / "objects")
    assert paths_to_read(tmp_path / "sharing").collecting == stores
    assert len(GitHistory(layout.repository).list_commits()) == 2


def test_directory_outside_a_work_tree_has_no_history(layout: SourceLayout, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/a.py").write_text("x = 1\n")
    source = fetch_directory(tmp_path / "plain", layout, SourceLimits())
    assert source == FetchedSource(has_history=False)
    assert not layout.repository.exists()


def test_subdirectory_has_only_its_own_part_of_the_history(work_tree: WorkTree, layout: SourceLayout) -> None:
    work_tree.write("pkg/deep/c.py", "c = 1\n")
    work_tree.write("pkgother.py", "p = 1\n")
    work_tree.commit()
    source = fetch_directory(work_tree.path / "pkg", layout, SourceLimits())
    assert source.commit_sha == work_tree.head()
    assert set(python_files(layout)) == {"run.py", "deep/c.py"}
    assert sorted(GitHistory(layout.repository).numstat()) == [("deep/c.py", 1, 0), ("run.py", 1, 0)]
    assert len(GitHistory(layout.repository).list_commits()) == 3


def test_uncommitted_subdirectory_has_no_history(work_tree: WorkTree, layout: SourceLayout) -> None:
    work_tree.write("build/a.py", "a = 1\n")
    source = fetch_directory(work_tree.path / "build", layout, SourceLimits())
    assert not source.has_history
    assert reasons(source) == {".git": "history unusable: the directory is not part of HEAD's commit"}


def test_linked_work_tree_has_its_own_head(work_tree: WorkTree, layout: SourceLayout, tmp_path: Path) -> None:
    work_tree.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "linked"))
    linked = tmp_path / "linked"
    (linked / "side.py").write_text("s = 1\n")
    git(linked, "add", "-A")
    git(linked, "commit", "-q", "-m", "on the side")
    source = fetch_directory(linked, layout, SourceLimits())
    assert source.branch == "side"
    assert source.commit_sha == git(linked, "rev-parse", "HEAD").decode().strip()
    assert "side.py" in python_files(layout)
    assert len(GitHistory(layout.repository).list_commits()) == 3
    assert source.skipped == ()


@pytest.mark.parametrize("packed", [True, False])
def test_loose_and_packed_refs_and_objects_are_read(work_tree: WorkTree, layout: SourceLayout, packed: bool) -> None:
    if packed:
        work_tree.git("gc", "-q")
        assert not (work_tree.dot_git / "refs/heads/main").exists()
    source = fetch_directory(work_tree.path, layout, SourceLimits())
    assert source.commit_sha == work_tree.head()
    assert len(list(GitHistory(layout.repository).numstat())) == 3


def test_sha256_repository_is_read(layout: SourceLayout, tmp_path: Path) -> None:
    tree = WorkTree(tmp_path / "w", object_format="sha256")
    sha = tree.commit(a_py="x = 1\n")
    assert len(sha) == 64
    assert fetch_directory(tree.path, layout, SourceLimits()).commit_sha == sha
    assert list(GitHistory(layout.repository).numstat()) == [("a.py", 1, 0)]


def test_shallow_clone_is_reported_as_shallow(work_tree: WorkTree, layout: SourceLayout, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{work_tree.path}", "shallow")
    source = fetch_directory(tmp_path / "shallow", layout, SourceLimits())
    assert source.shallow
    assert GitHistory(layout.repository).is_shallow()
    assert len(GitHistory(layout.repository).list_commits()) == 1


def test_repository_without_commits_has_no_history(layout: SourceLayout, tmp_path: Path) -> None:
    tree = WorkTree(tmp_path / "w")
    tree.write("a.py", "x = 1\n")
    source = fetch_directory(tree.path, layout, SourceLimits())
    assert reasons(source) == {".git": "history unusable: HEAD's branch has no commit"}
    assert not source.has_history
    assert not layout.repository.exists()


def replace_head_with_a_pipe(git_dir: Path) -> None:
    (git_dir / "HEAD").unlink()
    os.mkfifo(git_dir / "HEAD")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda git_dir: (git_dir / "HEAD").write_text("junk"), "HEAD is malformed"),
        (lambda git_dir: (git_dir / "HEAD").unlink(), "there is no HEAD"),
        (replace_head_with_a_pipe, "there is no HEAD"),
        (lambda git_dir: (git_dir / "HEAD").write_text("a" * 40), "HEAD's commit is missing"),
        (lambda git_dir: (git_dir / "objects").rename(git_dir / "gone"), "its objects cannot be read"),
        (lambda git_dir: (git_dir / "shallow").write_text("x"), "its shallow file is malformed"),
        (lambda git_dir: (git_dir / "refs/heads/main").write_text("x" * 2000), "HEAD's branch has no commit"),
    ],
)
def test_broken_history_is_skipped_and_files_are_kept(
    work_tree: WorkTree, layout: SourceLayout, damage: Callable[[Path], object], reason: str
) -> None:
    damage(work_tree.dot_git)
    source = fetch_directory(work_tree.path, layout, SourceLimits())
    assert reasons(source)[".git"].startswith(f"history unusable: {reason}")
    assert set(python_files(layout)) == {"a.py", "pkg/run.py"}
    assert not layout.repository.exists()


def test_git_file_that_points_to_nothing_is_skipped(layout: SourceLayout, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w/a.py").write_text("x = 1\n")
    (tmp_path / "w/.git").write_text("gitdir: ../gone\n")
    source = fetch_directory(tmp_path / "w", layout, SourceLimits())
    assert reasons(source) == {".git": "history unusable: .git is a file that points to no repository"}


def test_links_pipes_and_excluded_directories_are_skipped(layout: SourceLayout, tmp_path: Path) -> None:
    root = tmp_path / "w"
    (root / "d").mkdir(parents=True)
    (root / "a.py").write_text("x = 1\n")
    (tmp_path / "outside.py").write_text("secret = 1\n")
    (root / "link.py").symlink_to(tmp_path / "outside.py")
    (root / "linked").symlink_to(tmp_path)
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe.py")
    os.mkfifo(root / "pipe.txt")
    (root / "d/big.py").write_bytes(b"x" * (2 * MIB + 1))
    (root / "venv").mkdir()
    (root / "venv/v.py").write_text("v = 1\n")
    (root / "directory.py").mkdir()
    source = fetch_directory(root, layout, SourceLimits())
    assert reasons(source) == {
        "d/big.py": "larger than 2048 KB",
        "link.py": "symbolic link",
        "linked": "symbolic link",
        "loop": "symbolic link",
        "pipe.py": "not a regular file",
        "venv": "excluded directory",
    }
    assert set(python_files(layout)) == {"a.py"}


def test_unusual_names_and_modes_are_kept(layout: SourceLayout, tmp_path: Path) -> None:
    root = tmp_path / "w"
    root.mkdir()
    names = [b"\xff.py", b"new\nline.py", b"back\\slash.py", b" .py", b"-rf.py"]
    for name in names:
        (root / os.fsdecode(name)).write_bytes(name)
    (root / "-rf.py").chmod(0o755)
    fetch_directory(root, layout, SourceLimits())
    assert sorted(os.fsencode(path.name) for path in layout.tree.iterdir()) == sorted(names)
    assert (layout.tree / "-rf.py").stat().st_mode & 0o111


def test_directories_below_the_depth_limit_are_skipped(layout: SourceLayout, tmp_path: Path) -> None:
    root = tmp_path / "w"
    deepest = root.joinpath(*["d"] * 70)
    deepest.mkdir(parents=True)
    (deepest / "a.py").write_text("x = 1\n")
    (root.joinpath(*["d"] * 63) / "b.py").write_text("x = 1\n")
    source = fetch_directory(root, layout, SourceLimits())
    assert reasons(source) == {"/".join(["d"] * 64): "deeper than 64 directories"}
    assert set(python_files(layout)) == {"/".join(["d"] * 63) + "/b.py"}


def test_missing_or_empty_directory_is_refused(layout: SourceLayout, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="is not a directory"):
        fetch_directory(tmp_path / "absent", layout, SourceLimits())
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError, match="the directory has no Python file"):
        fetch_directory(tmp_path / "empty", layout, SourceLimits())


def test_symbolic_link_to_the_directory_itself_is_followed(
    work_tree: WorkTree, layout: SourceLayout, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(work_tree.path)
    assert fetch_directory(tmp_path / "link", layout, SourceLimits()).commit_sha == work_tree.head()
