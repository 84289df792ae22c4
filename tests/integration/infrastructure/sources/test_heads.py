"""Histories of work trees whose HEAD is unusual: git resolves it, in a directory and in an uploaded archive."""

import base64
import io
import os
import zipfile
from pathlib import Path

import pytest

from collectors.contract import Totals
from collectors.metrics.churn import COLLECTOR
from infrastructure.sources.git.history import PARTIAL_CLONE, GitHistory
from infrastructure.sources.local.directory import fetch_directory
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import SourceLimits
from infrastructure.sources.uploads.upload import fetch_upload
from tests.fixtures.git_repository import WorkTree
from tests.unit.collectors.source_trees import load_tree


def latin_branch(work: WorkTree) -> None:
    work.git("checkout", "-q", "-b", b"caf\xe9")


def dash_branch(work: WorkTree) -> None:
    work.git("update-ref", "refs/heads/-x", "HEAD")
    work.git("symbolic-ref", "HEAD", "refs/heads/-x")


def remote_ref(work: WorkTree) -> None:
    work.git("update-ref", "refs/remotes/origin/main", "HEAD")
    work.git("symbolic-ref", "HEAD", "refs/remotes/origin/main")


def annotated_tag(work: WorkTree) -> None:
    work.git("tag", "-a", "-m", "one", "v1")
    work.git("symbolic-ref", "HEAD", "refs/tags/v1")


def link(work: WorkTree) -> None:
    (work.dot_git / "HEAD").unlink()
    (work.dot_git / "HEAD").symlink_to("refs/heads/main")


def packed(work: WorkTree) -> None:
    work.git("checkout", "-q", "-b", "x/(y)#z@home")
    work.git("pack-refs", "--all")


def zip_everything(root: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for directory, _, names in os.walk(os.fsencode(root)):
            for name in names:
                file = directory + b"/" + name
                member = zipfile.ZipInfo(os.path.relpath(file, os.fsencode(root)).decode())
                archive.writestr(member, Path(os.fsdecode(file)).read_bytes())
    return buffer.getvalue()


KINDS = {
    "caf\\xe9": latin_branch,
    "-x": dash_branch,
    "remote": remote_ref,
    "tag": annotated_tag,
    "main": link,
    "x/(y)#z@home": packed,
}
NO_BRANCH = ("remote", "tag")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_history_of_a_directory_is_found(two_commit_tree: WorkTree, layout: SourceLayout, kind: str) -> None:
    sha = two_commit_tree.head()
    KINDS[kind](two_commit_tree)
    source = fetch_directory(two_commit_tree.path, layout, SourceLimits())
    assert (source.commit_sha, source.branch, source.skipped) == (sha, None if kind in NO_BRANCH else kind, ())
    assert len(GitHistory(layout.repository).list_commits()) == 2
    assert not [path for path in layout.root.iterdir() if path.name.startswith("refs-")]


@pytest.mark.parametrize("kind", ["-x", "remote", "tag", "x/(y)#z@home"])
def test_history_of_an_archive_is_found(two_commit_tree: WorkTree, layout: SourceLayout, kind: str) -> None:
    KINDS[kind](two_commit_tree)
    data = base64.b64encode(zip_everything(two_commit_tree.path)).decode()
    source = fetch_upload("a.zip", data, layout, SourceLimits())
    assert (source.branch, source.skipped) == (None if kind in NO_BRANCH else kind, ())
    assert len(GitHistory(layout.repository).list_commits()) == 2


def test_reftable_is_named(two_commit_tree: WorkTree, layout: SourceLayout) -> None:
    (two_commit_tree.dot_git / "reftable").mkdir()
    (two_commit_tree.dot_git / "reftable" / "tables.list").write_text("x")
    (two_commit_tree.dot_git / "HEAD").write_text("ref: refs/heads/.invalid\n")
    source = fetch_directory(two_commit_tree.path, layout, SourceLimits())
    assert "reftable" in source.skipped[0].reason
    assert not source.has_history


def test_branch_without_a_commit_is_named(two_commit_tree: WorkTree, layout: SourceLayout) -> None:
    two_commit_tree.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    source = fetch_directory(two_commit_tree.path, layout, SourceLimits())
    assert source.skipped[0].reason == "history unusable: HEAD's branch has no commit"


def test_partial_clone_costs_the_lines_of_churn_only(
    two_commit_tree: WorkTree, tmp_path: Path, layout: SourceLayout
) -> None:
    two_commit_tree.git("config", "uploadpack.allowFilter", "true")
    target = tmp_path / "partial"
    arguments = ("clone", "-q", "--filter=blob:none", two_commit_tree.path.as_uri(), str(target))
    two_commit_tree.git(*arguments, GIT_ALLOW_PROTOCOL="file")
    fetch_directory(target, layout, SourceLimits())
    tree = load_tree(layout.tree, history=GitHistory(layout.repository))
    report = COLLECTOR.summarize(COLLECTOR.collect_tree(tree), Totals(sloc={"a.py": 2}))
    assert report.aggregate == {"total_commits": 2, "totalChurn": None, "churn_score": None}
    assert len(report.gaps) == 1
    assert "partial clone: fetch its blobs" in report.gaps[0]


@pytest.mark.parametrize("filters", ["blob:none", "tree:0"])
def test_partial_clone_in_an_archive_is_named(
    two_commit_tree: WorkTree, tmp_path: Path, layout: SourceLayout, filters: str
) -> None:
    two_commit_tree.git("config", "uploadpack.allowFilter", "true")
    target = tmp_path / "partial"
    arguments = ("clone", "-q", f"--filter={filters}", two_commit_tree.path.as_uri(), str(target))
    two_commit_tree.git(*arguments, GIT_ALLOW_PROTOCOL="file")
    source = fetch_upload("a.zip", base64.b64encode(zip_everything(target)).decode(), layout, SourceLimits())
    assert [item.reason for item in source.skipped] == [f"history unusable: {PARTIAL_CLONE}"]
