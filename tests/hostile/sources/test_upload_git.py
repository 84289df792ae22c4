"""An uploaded `.git` that tries to run a program, to read a file or to falsify the history.

Each attack is first shown to work: plain git in the unpacked directory runs the attacker's program, which leaves a
marker.
"""

import base64
import io
import os
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from domain.errors import InvalidInputError, PermanentError
from domain.sources import FetchedSource
from infrastructure.sources.git.history import GitHistory
from infrastructure.sources.local.directory import fetch_directory
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import MIB, SourceLimits
from infrastructure.sources.uploads.upload import fetch_upload
from tests.fixtures.git_repository import IDENTITY, WorkTree, git


class Program:
    """The attacker's program; it creates a marker file when it runs."""

    def __init__(self, directory: Path) -> None:
        self.marker = directory / "marker"
        self.path = directory / "program"
        self.path.write_text(f"#!/bin/sh\ntouch {self.marker}\nexit 1\n")
        self.path.chmod(0o755)

    def ran(self) -> bool:
        """Whether the program has run since the last call."""
        found = self.marker.exists()
        self.marker.unlink(missing_ok=True)
        return found


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def archive_of(directory: Path) -> bytes:
    """Pack everything below the directory, including `.git`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(directory.rglob("*")):
            if path.is_file() and not path.is_symlink():
                archive.write(path, path.relative_to(directory))
    return buffer.getvalue()


def upload(data: bytes, layout: SourceLayout, limits: SourceLimits | None = None) -> FetchedSource:
    return fetch_upload("u.zip", base64.b64encode(data).decode(), layout, limits or SourceLimits())


def reasons(source: FetchedSource) -> dict[str, str]:
    return {item.path: item.reason for item in source.skipped}


def plain_git(two_commit_tree: WorkTree, *arguments: str) -> bytes:
    """Run git in the work tree without any protection, and return its output even if it fails."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(two_commit_tree.path), **IDENTITY}
    command = ["git", *arguments]
    return subprocess.run(command, cwd=two_commit_tree.path, env=environment, capture_output=True, check=False).stdout


def configure(two_commit_tree: WorkTree, text: str) -> None:
    with (two_commit_tree.dot_git / "config").open("a") as config:
        config.write(text)


def fsmonitor(two_commit_tree: WorkTree, program: Program) -> None:
    configure(two_commit_tree, f"[core]\n\tfsmonitor = {program.path}\n")


def include(two_commit_tree: WorkTree, program: Program) -> None:
    (two_commit_tree.dot_git / "more").write_text(f"[core]\n\tfsmonitor = {program.path}\n")
    configure(two_commit_tree, "[include]\n\tpath = more\n")


def signature(two_commit_tree: WorkTree, program: Program) -> None:
    configure(two_commit_tree, f"[log]\n\tshowSignature = true\n[gpg]\n\tprogram = {program.path}\n")
    body = two_commit_tree.git("cat-file", "commit", "HEAD").decode()
    head, _, message = body.partition("\n\n")
    signed = f"{head}\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n\n{message}"
    sha = two_commit_tree.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=signed.encode()).decode().strip()
    two_commit_tree.git("update-ref", "refs/heads/main", sha)


def promisor(two_commit_tree: WorkTree, program: Program) -> None:
    configure(
        two_commit_tree,
        "[core]\n\trepositoryFormatVersion = 1\n"
        f'\tsshCommand = {program.path}\n[extensions]\n\tpartialClone = origin\n[remote "origin"]\n'
        "\turl = ssh://host/x\n\tpromisor = true\n\tpartialCloneFilter = blob:none\n",
    )
    blob = two_commit_tree.git("rev-parse", "HEAD:a.py").decode().strip()
    (two_commit_tree.dot_git / "objects" / blob[:2] / blob[2:]).unlink()


def hook(two_commit_tree: WorkTree, program: Program) -> None:
    for name in ("post-checkout", "post-index-change", "reference-transaction"):
        (two_commit_tree.dot_git / "hooks").mkdir(exist_ok=True)
        (two_commit_tree.dot_git / "hooks" / name).write_text(program.path.read_text())
        (two_commit_tree.dot_git / "hooks" / name).chmod(0o755)


def smudge(two_commit_tree: WorkTree, program: Program) -> None:
    configure(two_commit_tree, f'[filter "evil"]\n\tsmudge = {program.path}\n\tclean = {program.path}\n')
    (two_commit_tree.dot_git / "info").mkdir(exist_ok=True)
    (two_commit_tree.dot_git / "info" / "attributes").write_text("* filter=evil\n")
    (two_commit_tree.path / "a.py").unlink()


def external_diff(two_commit_tree: WorkTree, program: Program) -> None:
    configure(two_commit_tree, f"[diff]\n\texternal = {program.path}\n")


def text_conversion(two_commit_tree: WorkTree, program: Program) -> None:
    configure(two_commit_tree, f'[diff "evil"]\n\ttextconv = {program.path}\n')
    (two_commit_tree.dot_git / "info").mkdir(exist_ok=True)
    (two_commit_tree.dot_git / "info" / "attributes").write_text("* diff=evil\n")


def pager_alias(two_commit_tree: WorkTree, program: Program) -> None:
    configure(two_commit_tree, f"[alias]\n\tlg = !{program.path}\n")


PROGRAMS = pytest.mark.parametrize(
    ("attack", "command"),
    [
        (fsmonitor, ["status"]),
        (include, ["status"]),
        (signature, ["log", "--numstat"]),
        (promisor, ["log", "--numstat"]),
        (hook, ["checkout", "-q", "-f", "HEAD~1"]),
        (smudge, ["checkout", "-q", "-f"]),
        (external_diff, ["diff", "HEAD~1"]),
        (text_conversion, ["log", "-p"]),
        (pager_alias, ["lg"]),
    ],
)


@PROGRAMS
def test_program_named_in_an_uploaded_git_directory_does_not_run(
    two_commit_tree: WorkTree,
    program: Program,
    layout: SourceLayout,
    attack: Callable[[WorkTree, Program], None],
    command: list[str],
) -> None:
    two_commit_tree.write("b.py", "b = 1\n")
    attack(two_commit_tree, program)
    data = archive_of(two_commit_tree.path)
    plain_git(two_commit_tree, *command)
    assert program.ran()
    source = upload(data, layout)
    if source.has_history:
        history = GitHistory(layout.repository)
        assert len(history.list_commits()) == 2
        assert len(list(history.numstat())) == 2
    else:
        assert attack is promisor
        assert reasons(source)[".git"].startswith("history unusable: missing blob")
    assert not program.ran()
    assert not any(program.path.name in path.read_text("latin-1") for path in layout.root.rglob("*") if path.is_file())


@PROGRAMS
def test_program_named_in_a_local_git_directory_does_not_run(
    two_commit_tree: WorkTree,
    program: Program,
    layout: SourceLayout,
    attack: Callable[[WorkTree, Program], None],
    command: list[str],
) -> None:
    two_commit_tree.write("b.py", "b = 1\n")
    attack(two_commit_tree, program)
    source = fetch_directory(two_commit_tree.path, layout, SourceLimits())
    history = GitHistory(layout.repository)
    assert len(history.list_commits()) == 2
    if attack is promisor:
        with pytest.raises(PermanentError, match="the history cannot be read"):
            list(history.numstat())
    else:
        assert len(list(history.numstat())) == 2
    assert source.commit_sha is not None
    assert not program.ran()
    plain_git(two_commit_tree, *command)
    assert program.ran()


def test_alternates_of_an_upload_are_ignored(two_commit_tree: WorkTree, layout: SourceLayout, tmp_path: Path) -> None:
    victim = WorkTree(tmp_path / "victim")
    secret = victim.commit("the history of the secret", secret_py="secret = 1\n")
    (two_commit_tree.dot_git / "objects/info").mkdir(exist_ok=True)
    (two_commit_tree.dot_git / "objects/info/alternates").write_text(f"{victim.dot_git / 'objects'}\n")
    (two_commit_tree.dot_git / "refs/heads/main").write_text(f"{secret}\n")
    assert b"the history of the secret" in plain_git(two_commit_tree, "log")
    source = upload(archive_of(two_commit_tree.path), layout)
    assert reasons(source) == {".git": "history unusable: HEAD's commit is missing"}
    assert not layout.repository.exists()


def test_commondir_of_an_upload_is_ignored(two_commit_tree: WorkTree, layout: SourceLayout, tmp_path: Path) -> None:
    victim = WorkTree(tmp_path / "victim", branch="main")
    victim.commit("the history of the secret", secret_py="secret = 1\n")
    own = two_commit_tree.head()
    (two_commit_tree.dot_git / "commondir").write_text(str(victim.dot_git))
    assert b"the history of the secret" in plain_git(two_commit_tree, "log")
    assert upload(archive_of(two_commit_tree.path), layout).commit_sha == own


def test_worktree_setting_of_an_upload_is_ignored(
    two_commit_tree: WorkTree, layout: SourceLayout, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    configure(two_commit_tree, f"[core]\n\tworktree = {outside}\n")
    data = archive_of(two_commit_tree.path)
    plain_git(two_commit_tree, "checkout", "-q", "-f")
    assert [path.name for path in outside.iterdir()] == ["a.py"]
    (outside / "a.py").unlink()
    assert upload(data, layout).has_history
    assert len(list(GitHistory(layout.repository).numstat())) == 2
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("kind", ["replace", "grafts"])
def test_replace_refs_and_grafts_do_not_change_the_history(
    two_commit_tree: WorkTree, layout: SourceLayout, kind: str
) -> None:
    first, head = two_commit_tree.git("rev-parse", "HEAD~1").decode().strip(), two_commit_tree.head()
    if kind == "replace":
        two_commit_tree.git("replace", "--graft", head)
        assert plain_git(two_commit_tree, "rev-list", "--count", "HEAD") == b"1\n"
    else:
        (two_commit_tree.dot_git / "info").mkdir(exist_ok=True)
        (two_commit_tree.dot_git / "info/grafts").write_text(f"{head}\n")
        assert plain_git(two_commit_tree, "rev-list", "--count", "HEAD") == b"1\n"
    upload(archive_of(two_commit_tree.path), layout)
    assert GitHistory(layout.repository).list_commits().ids() == [head, first]


def test_attributes_do_not_hide_churn(two_commit_tree: WorkTree, layout: SourceLayout) -> None:
    (two_commit_tree.dot_git / "info").mkdir(exist_ok=True)
    (two_commit_tree.dot_git / "info/attributes").write_text("*.py -diff\n")
    two_commit_tree.write(".gitattributes", "*.py -diff\n")
    two_commit_tree.commit()
    assert b"-\t-\ta.py" in plain_git(two_commit_tree, "log", "--numstat")
    upload(archive_of(two_commit_tree.path), layout)
    lines = list(GitHistory(layout.repository).numstat())
    assert [line for line in lines if line[0] == "a.py"] == [("a.py", 1, 0), ("a.py", 1, 0)]


def test_index_of_an_uploaded_pack_is_rebuilt(two_commit_tree: WorkTree, layout: SourceLayout) -> None:
    two_commit_tree.git("gc", "-q")
    (index,) = (two_commit_tree.dot_git / "objects/pack").glob("*.idx")
    index.chmod(0o644)
    index.write_bytes(index.read_bytes()[:8] + bytes(index.stat().st_size - 8))
    assert plain_git(two_commit_tree, "log") == b""
    source = upload(archive_of(two_commit_tree.path), layout)
    assert source.has_history
    assert len(GitHistory(layout.repository).list_commits()) == 2


def test_shallow_history_without_its_shallow_file_is_unusable(
    two_commit_tree: WorkTree, layout: SourceLayout, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{two_commit_tree.path}", "shallow")
    data = archive_of(tmp_path / "shallow")
    source = upload(data, layout)
    assert (source.has_history, source.shallow) == (True, True)
    (tmp_path / "shallow/.git/shallow").unlink()
    other = SourceLayout(tmp_path / "other")
    other.root.mkdir()
    source = upload(archive_of(tmp_path / "shallow"), other)
    assert not source.has_history
    assert reasons(source)[".git"].startswith("history unusable: ")


def loose_object(two_commit_tree: WorkTree, revision: str) -> Path:
    sha = two_commit_tree.git("rev-parse", revision).decode().strip()
    file = two_commit_tree.dot_git / "objects" / sha[:2] / sha[2:]
    file.chmod(0o644)
    return file


def truncated_pack(two_commit_tree: WorkTree) -> None:
    two_commit_tree.git("gc", "-q")
    (pack,) = (two_commit_tree.dot_git / "objects/pack").glob("*.pack")
    pack.chmod(0o644)
    pack.write_bytes(pack.read_bytes()[:-30])


def garbage_pack(two_commit_tree: WorkTree) -> None:
    (two_commit_tree.dot_git / "objects/pack" / f"pack-{'a' * 40}.pack").write_bytes(
        b"PACK\0\0\0\2\xff\xff\xff\xff" + bytes(100)
    )


def false_object(two_commit_tree: WorkTree) -> None:
    """Replace the object of HEAD's file with other content; git reads it without an error."""
    loose_object(two_commit_tree, "HEAD:a.py").write_bytes(zlib.compress(b"blob 4\0\n\n\n\n"))
    assert b"4\t1\ta.py" in two_commit_tree.git("log", "-1", "--numstat")
    two_commit_tree.git("rev-list", "--objects", "--quiet", "HEAD")


BROKEN: list[tuple[Callable[[WorkTree], object], str]] = [
    (lambda work: loose_object(work, "HEAD").unlink(), "HEAD's commit is missing"),
    (lambda work: loose_object(work, "HEAD^{tree}").unlink(), ""),
    (lambda work: loose_object(work, "HEAD~1:a.py").unlink(), "missing blob"),
    (lambda work: loose_object(work, "HEAD").write_bytes(b"junk"), "HEAD's commit is missing"),
    (lambda work: loose_object(work, "HEAD^{tree}").write_bytes(zlib.compress(b"tree 4\0junk")), ""),
    (
        lambda work: (work.dot_git / "HEAD").write_text("ref: refs/heads/../../../etc/passwd\n"),
        "HEAD's branch has no commit",
    ),
    (lambda work: (work.dot_git / "HEAD").write_text("x" * 5000), "a file in it is too large"),
    (lambda work: (work.dot_git / "HEAD").write_text("--upload-pack=x"), "HEAD is malformed"),
    (lambda work: (work.dot_git / "refs/heads/main").write_text("-x\n"), "HEAD's branch has no commit"),
    (lambda work: (work.dot_git / "refs/heads/main").write_text(work.git("rev-parse", "HEAD:a.py").decode()), ""),
    (lambda work: (work.dot_git / "shallow").write_text("-x\n"), "its shallow file is malformed"),
    (false_object, "its objects do not pass `git fsck`"),
    (truncated_pack, ""),
    (garbage_pack, ""),
]


@pytest.mark.parametrize(("damage", "reason"), BROKEN)
def test_broken_history_is_skipped_and_files_are_kept(
    two_commit_tree: WorkTree, layout: SourceLayout, damage: Callable[[WorkTree], object], reason: str
) -> None:
    damage(two_commit_tree)
    source = upload(archive_of(two_commit_tree.path), layout)
    assert not source.has_history
    assert reasons(source)[".git"].startswith(f"history unusable: {reason}")
    assert "\n" not in reasons(source)[".git"]
    assert (layout.tree / "a.py").read_text() == "x = 1\ny = 2\n"
    assert not layout.repository.exists()


def test_only_objects_with_valid_names_are_extracted(two_commit_tree: WorkTree, layout: SourceLayout) -> None:
    data = archive_of(two_commit_tree.path)
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(".git/objects/../../../escape", "x")
        archive.writestr(".git/objects/pack/../../../escape.pack", "x")
        archive.writestr(".git/objects/pack/pack-.pack", "x")
        archive.writestr(".git/objects/AA/" + "a" * 38, "x")
        archive.writestr(".git/objects/info/commit-graph", "x")
        archive.writestr(".git/objects/pack/multi-pack-index", "x")
        archive.writestr(".git/objects/pack/pack-" + "a" * 40 + ".promisor", "x")
    assert upload(buffer.getvalue(), layout).has_history
    extracted = {str(path.relative_to(layout.repository)) for path in layout.repository.rglob("*") if path.is_file()}
    assert {name for name in extracted if not name.startswith("objects/")} == {
        "HEAD",
        "config",
        "refs/heads/analysed",
        "vibe8-path-mapping.json",
    }
    assert all(len(name) == len("objects/aa/") + 38 for name in extracted if name.startswith("objects/"))
    assert not list(layout.root.rglob("escape*"))
    sections = [line for line in (layout.repository / "config").read_text().splitlines() if line.startswith("[")]
    assert sections == ["[core]"]


def test_objects_count_toward_the_inflated_size_limit(two_commit_tree: WorkTree, layout: SourceLayout) -> None:
    two_commit_tree.write("noise.bin", os.urandom(MIB))
    two_commit_tree.commit()
    with pytest.raises(InvalidInputError, match="MAX_INFLATED_MB"):
        upload(archive_of(two_commit_tree.path), layout, SourceLimits(max_inflated_bytes=MIB // 2))


def test_loose_object_that_is_a_bomb_is_not_inflated_on_disk(two_commit_tree: WorkTree, layout: SourceLayout) -> None:
    blob = loose_object(two_commit_tree, "HEAD:a.py")
    blob.write_bytes(zlib.compress(b"blob 104857600\0" + bytes(100 * MIB), 9))
    source = upload(archive_of(two_commit_tree.path), layout)
    assert sum(path.stat().st_size for path in layout.root.rglob("*")) < MIB
    assert source.skipped_total <= 1


@pytest.mark.parametrize("folder", ["", "project/"])
def test_git_directory_is_found_at_the_root_or_in_the_only_top_folder(
    two_commit_tree: WorkTree, layout: SourceLayout, tmp_path: Path, folder: str
) -> None:
    holder = tmp_path / "holder" / folder
    holder.parent.mkdir(parents=True, exist_ok=True)
    two_commit_tree.path.rename(holder)
    source = upload(archive_of(tmp_path / "holder"), layout)
    assert source.has_history
    assert {path for path, _, _ in GitHistory(layout.repository).numstat()} == {f"{folder}a.py"}
    assert (layout.tree / f"{folder}a.py").exists()
    assert source.skipped == ()


def test_archive_with_two_projects_has_no_history(
    two_commit_tree: WorkTree, layout: SourceLayout, tmp_path: Path
) -> None:
    other = WorkTree(tmp_path / "holder/two")
    other.commit(b_py="b = 1\n")
    two_commit_tree.path.rename(tmp_path / "holder/one")
    source = upload(archive_of(tmp_path / "holder"), layout)
    assert not source.has_history
    assert reasons(source) == {"one/.git": "excluded directory", "two/.git": "excluded directory"}


def test_git_file_in_an_archive_is_not_followed(layout: SourceLayout, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w/a.py").write_text("x = 1\n")
    (tmp_path / "w/.git").write_text("gitdir: /home/victim/.git\n")
    source = upload(archive_of(tmp_path / "w"), layout)
    assert reasons(source) == {".git": "history unusable: .git is a file that points elsewhere"}
