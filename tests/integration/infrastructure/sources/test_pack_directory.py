import base64
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from domain.errors import InvalidInputError
from domain.sources import FetchedSource
from infrastructure.sources.git.history import GitHistory
from infrastructure.sources.local.packing import pack_directory
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import MIB, SourceLimits
from infrastructure.sources.uploads.upload import fetch_upload
from tests.fixtures.git_repository import WorkTree, git

NewLayout = Callable[[], SourceLayout]
HALF_A_MB = SourceLimits(max_upload_bytes=MIB // 2)


def unpack(data: bytes, layout: SourceLayout) -> FetchedSource:
    return fetch_upload("packed.zip", base64.b64encode(data).decode(), layout, SourceLimits())


def contents(layout: SourceLayout) -> dict[str, tuple[bytes, bool]]:
    return {
        str(path.relative_to(layout.root)): (path.read_bytes(), bool(path.stat().st_mode & 0o111))
        for root in (layout.tree, layout.manifests)
        for path in root.rglob("*")
        if path.is_file()
    }


def test_packed_directory_is_fetched_as_the_same_source(work_tree: WorkTree, new_layout: NewLayout) -> None:
    work_tree.write("later.py", "not committed\n")
    packed = new_layout()
    source = unpack(pack_directory(work_tree.path, with_history=True), packed)
    assert source == FetchedSource(has_history=True, commit_sha=work_tree.head(), branch="main")
    assert contents(packed) == {
        "tree/a.py": (b"x = 1\ny = 2\n", False),
        "tree/later.py": (b"not committed\n", False),
        "tree/pkg/run.py": (b"#!/usr/bin/env python\n", True),
        "manifests/requirements.txt": (b"httpx==1\n", False),
    }
    history = GitHistory(packed.repository)
    assert len(history.list_commits()) == 2
    assert len(list(history.numstat())) == 3


@pytest.mark.parametrize("state", ["detached", "branch with a slash", "packed", "sha256"])
def test_every_kind_of_head_is_kept(tmp_path: Path, new_layout: NewLayout, state: str) -> None:
    work = WorkTree(tmp_path / "w", object_format="sha256" if state == "sha256" else "sha1")
    sha = work.commit(a_py="x = 1\n")
    if state == "detached":
        work.git("checkout", "-q", "--detach")
    elif state == "branch with a slash":
        work.git("checkout", "-q", "-b", "feature/x")
    elif state == "packed":
        work.git("gc", "-q")
    source = unpack(pack_directory(work.path, with_history=True), new_layout())
    branch = {"detached": None, "branch with a slash": "feature/x"}.get(state, "main")
    assert (source.commit_sha, source.branch) == (sha, branch)


def test_shallow_history_stays_shallow(work_tree: WorkTree, tmp_path: Path, new_layout: NewLayout) -> None:
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{work_tree.path}", "shallow")
    layout = new_layout()
    assert unpack(pack_directory(tmp_path / "shallow", with_history=True), layout).shallow
    assert len(GitHistory(layout.repository).list_commits()) == 1


def test_archive_contains_only_the_history_of_head(work_tree: WorkTree) -> None:
    work_tree.git("config", "http.extraHeader", "Authorization: s3cret")
    work_tree.git("checkout", "-q", "-b", "private")
    work_tree.commit(private_py="private = 1\n")
    work_tree.git("checkout", "-q", "main")
    with zipfile.ZipFile(io.BytesIO(pack_directory(work_tree.path, with_history=True))) as archive:
        names = archive.namelist()
        assert b"s3cret" not in b"".join(archive.read(name) for name in names)
    sha = work_tree.head()
    assert [name for name in names if name.startswith(".git/")] == [
        ".git/HEAD",
        ".git/refs/heads/main",
        f".git/objects/pack/pack-{sha}.pack",
    ]


def test_subdirectory_is_packed_without_history(work_tree: WorkTree, new_layout: NewLayout) -> None:
    assert not unpack(pack_directory(work_tree.path, with_history=False), new_layout()).has_history
    inside = new_layout()
    assert not unpack(pack_directory(work_tree.path / "pkg", with_history=True), inside).has_history
    assert set(contents(inside)) == {"tree/run.py"}


def test_packing_is_deterministic(work_tree: WorkTree) -> None:
    assert pack_directory(work_tree.path, with_history=False) == pack_directory(work_tree.path, with_history=False)


def test_names_that_zip_cannot_represent_are_escaped(tmp_path: Path, new_layout: NewLayout) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / os.fsdecode(b"\xff.py")).write_text("x = 1\n")
    (tmp_path / "w" / "a\\b.py").write_text("x = 1\n")
    (tmp_path / "w" / "ünï.py").write_text("x = 1\n")
    layout = new_layout()
    assert unpack(pack_directory(tmp_path / "w", with_history=False), layout).skipped == ()
    assert set(contents(layout)) == {"tree/%xff.py", "tree/a%b.py", "tree/ünï.py"}


def left_out(packed: bytes, layout: SourceLayout) -> list[str]:
    return [item.reason for item in unpack(packed, layout).skipped if item.path == ".git"]


def test_directory_over_the_upload_limit_is_refused(work_tree: WorkTree) -> None:
    work_tree.write("noise.py", os.urandom(MIB))
    ways = r"^the directory is larger than 0\.5 MB .*a part of it.* URL, or raise MAX_UPLOAD_MB"
    for with_history in (True, False):
        with pytest.raises(InvalidInputError, match=ways):
            pack_directory(work_tree.path, with_history=with_history, limits=HALF_A_MB, on_history_left_out=pytest.fail)


def test_history_over_the_upload_limit_is_left_out_with_a_word(work_tree: WorkTree, new_layout: NewLayout) -> None:
    work_tree.write("noise.bin", os.urandom(MIB))
    work_tree.commit()
    lines: list[str] = []
    packed = pack_directory(work_tree.path, with_history=True, limits=HALF_A_MB, on_history_left_out=lines.append)
    assert len(packed) <= HALF_A_MB.max_upload_bytes
    reason = "with it the upload is larger than 0.5 MB (MAX_UPLOAD_MB)"
    assert left_out(packed, new_layout()) == [f"history left out: {reason}"]
    ways = "submit the repository's URL, or raise MAX_UPLOAD_MB here and for the workers"
    assert lines == [f"the git history is left out: {reason}; to have it, {ways}"]


def test_history_that_fits_only_by_itself_is_left_out(work_tree: WorkTree, new_layout: NewLayout) -> None:
    work_tree.write("noise.py", b"#" + os.urandom(300_000).replace(b"\n", b"").replace(b"\r", b""))
    work_tree.commit()  # the history has the noise once more
    packed = pack_directory(work_tree.path, with_history=True, limits=HALF_A_MB)
    assert left_out(packed, new_layout()) == [
        "history left out: with it the upload is larger than 0.5 MB (MAX_UPLOAD_MB)"
    ]


def test_history_is_left_out_as_asked(work_tree: WorkTree, new_layout: NewLayout) -> None:
    packed = pack_directory(work_tree.path, with_history=False, on_history_left_out=pytest.fail)
    assert left_out(packed, new_layout()) == ["history left out, as asked (--no-history)"]
