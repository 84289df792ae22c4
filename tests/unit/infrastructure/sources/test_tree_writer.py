import os
from pathlib import Path

import pytest

from domain.errors import InvalidInputError
from domain.metrics.manifest_files import MAX_MANIFEST_BYTES
from domain.metrics.report import SKIPPED_LIMIT
from domain.sources import FetchedSource
from infrastructure.sources.tree.layout import FetchedHistory, SourceLayout
from infrastructure.sources.tree.limits import KIB, SourceLimits
from infrastructure.sources.tree.writer import TreeWriter


def put(writer: TreeWriter, path: bytes, data: bytes = b"x = 1\n", *, executable: bool = False) -> bool:
    accepted = writer.accept(path, len(data))
    if accepted:
        writer.write(path, data, executable=executable)
    return accepted


def files(root: Path) -> set[bytes]:
    found = set()
    for directory, _, names in os.walk(os.fsencode(root)):
        found |= {os.path.relpath(os.path.join(directory, name), os.fsencode(root)) for name in names}  # noqa: PTH118
    return found


def reasons(source: FetchedSource) -> dict[str, str]:
    return {item.path: item.reason for item in source.skipped}


def test_python_files_keep_their_names_and_executable_bits(layout: SourceLayout) -> None:
    names = [b"a.py", b"d/e/b.py", b"d/\xff\xfe.py", b"d/new\nline.py", b"tab\t\"quote'.py", b"back\\slash.py", b".py"]
    with TreeWriter(layout, SourceLimits()) as writer:
        for name in names:
            assert put(writer, name, name)
        assert put(writer, b"run.py", executable=True)
        source = writer.finish("tree", None)
    assert files(layout.tree) == {*names, b"run.py"}
    assert (layout.tree / "d/e/b.py").read_bytes() == b"d/e/b.py"
    assert (layout.tree / "run.py").stat().st_mode & 0o111
    assert not (layout.tree / "a.py").stat().st_mode & 0o111
    assert source == FetchedSource(has_history=False)


def test_manifests_are_written_to_their_own_directory(layout: SourceLayout) -> None:
    with TreeWriter(layout, SourceLimits()) as writer:
        for name in (b"requirements-dev.txt", b"sub/pyproject.toml", b"setup.cfg", b"a.py"):
            assert put(writer, name)
        assert not put(writer, b"README.md")
        assert not put(writer, b"sub/notes.txt")
        writer.finish("tree", None)
    assert files(layout.tree) == {b"a.py"}
    assert files(layout.manifests) == {b"requirements-dev.txt", b"sub/pyproject.toml", b"setup.cfg"}


@pytest.mark.parametrize(
    "name",
    [b"/etc/x.py", b"../x.py", b"a/../../x.py", b"a//x.py", b"./x.py", b"a/./x.py", b"nul\0.py", b"a/..", b""],
)
@pytest.mark.parametrize("archive", [True, False])
def test_path_that_leaves_the_tree_is_refused(layout: SourceLayout, name: bytes, archive: bool) -> None:
    with TreeWriter(layout, SourceLimits(), archive=archive) as writer:
        assert not put(writer, name + b"/x.py" if not name.endswith(b".py") else name)
    assert files(layout.tree) == set()


def test_excluded_directory_is_recorded_once_at_any_depth(layout: SourceLayout) -> None:
    with TreeWriter(layout, SourceLimits()) as writer:
        assert put(writer, b"venv.py")
        for name in (b"venv/a.py", b"venv/b.py", b"src/__pycache__/c.pyc", b"src/.git/config", b".venv/x/y.py"):
            assert not put(writer, name)
        source = writer.finish("tree", None)
    assert reasons(source) == dict.fromkeys(["venv", "src/__pycache__", "src/.git", ".venv"], "excluded directory")
    assert source.skipped_total == 4


def test_large_file_is_skipped_with_a_reason(layout: SourceLayout) -> None:
    with TreeWriter(layout, SourceLimits()) as writer:
        assert writer.accept(b"fits.py", 2048 * KIB)
        assert not writer.accept(b"big.py", 2048 * KIB + 1)
        assert not writer.accept(b"uv.lock", MAX_MANIFEST_BYTES + 1)
        assert put(writer, b"a.py")
        source = writer.finish("tree", None)
    assert reasons(source) == {"big.py": "larger than 2048 KB", "uv.lock": "larger than 8192 KB"}


def test_duplicate_names_are_skipped(layout: SourceLayout) -> None:
    with TreeWriter(layout, SourceLimits()) as writer:
        assert put(writer, b"a.py", b"first")
        assert not put(writer, b"a.py", b"second")
        put(writer, b"a.py/inner.py")
        put(writer, b"d.py/inner.py")
        put(writer, b"d.py", b"there is a directory of this name")
        source = writer.finish("tree", None)
    assert (layout.tree / "a.py").read_bytes() == b"first"
    assert files(layout.tree) == {b"a.py", b"d.py/inner.py"}
    assert source.skipped_total == 3
    assert reasons(source)["d.py"] == "a file and a directory have the same name"


def test_second_file_with_the_same_displayed_path_is_skipped(layout: SourceLayout) -> None:
    with TreeWriter(layout, SourceLimits()) as writer:
        assert put(writer, b"\x80.py")
        assert not put(writer, b"\\x80.py")
        source = writer.finish("tree", None)
    assert reasons(source) == {"\\x80.py": "another file has the same name"}


def test_names_that_differ_in_case_are_different_files(layout: SourceLayout) -> None:
    names = [b"Mod.py", b"mod.py", "caf\u00e9.py".encode(), b"aux.py", b"nul.py"]
    with TreeWriter(layout, SourceLimits(), archive=True) as writer:
        for name in names:
            assert put(writer, name, name)
    assert files(layout.tree) == set(names)
    assert all((layout.tree / os.fsdecode(name)).read_bytes() == name for name in names)


def test_too_many_files_or_entries_are_refused(layout: SourceLayout) -> None:
    limits = SourceLimits(max_tree_files=2, max_clone_bytes=3 * KIB)
    with TreeWriter(layout, limits) as writer:
        assert put(writer, b"a.py")
        assert put(writer, b"setup.cfg")
        with pytest.raises(InvalidInputError, match=r"more than 2 Python files \(MAX_TREE_FILES\)"):
            writer.accept(b"c.py", 1)
        for _ in range(40):
            writer.count_entry()
        with pytest.raises(InvalidInputError, match="more than 40 entries"):
            writer.count_entry()


def test_too_many_bytes_are_refused(layout: SourceLayout) -> None:
    with TreeWriter(layout, SourceLimits(max_clone_bytes=3 * KIB)) as writer:
        assert writer.accept(b"a.py", 2 * KIB)
        with pytest.raises(InvalidInputError, match="MAX_CLONE_MB"):
            writer.accept(b"b.py", 2 * KIB)


def test_tree_without_python_files_is_refused_with_a_reason(layout: SourceLayout) -> None:
    with TreeWriter(layout, SourceLimits()) as writer:
        put(writer, b"requirements.txt")
        writer.skip(b"x\x1b[31m.py", "symbolic link")
        with pytest.raises(InvalidInputError) as raised:
            writer.finish("archive", None)
    assert str(raised.value) == (
        "the archive has no Python file to analyse (1 left out, the first: x\\x1b[31m.py: symbolic link)"
    )


def test_error_with_a_hostile_name_is_one_short_line(layout: SourceLayout) -> None:
    with TreeWriter(layout, SourceLimits()) as writer:
        writer.skip(b"a\nb" + b"x" * 900, "symbolic link")
        with pytest.raises(InvalidInputError, match="the first: a bx") as raised:
            writer.finish("archive", None)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_list_of_skipped_files_is_capped_and_the_total_is_kept(layout: SourceLayout) -> None:
    with TreeWriter(layout, SourceLimits()) as writer:
        put(writer, b"a.py")
        for number in range(SKIPPED_LIMIT + 5):
            writer.skip(b"%d.py" % number, "symbolic link")
        writer.skip(b"x" * 5000, "symbolic link")
        source = writer.finish("tree", FetchedHistory(commit_sha="c" * 40, branch="main", shallow=True))
    assert len(source.skipped) == SKIPPED_LIMIT
    assert source.skipped_total == SKIPPED_LIMIT + 6
    assert (source.has_history, source.shallow, source.commit_sha, source.branch) == (True, True, "c" * 40, "main")
    assert FetchedSource.from_json(source.to_json()) == source


def test_long_path_is_truncated_in_the_list_of_skipped_files(layout: SourceLayout) -> None:
    with TreeWriter(layout, SourceLimits()) as writer:
        put(writer, b"a.py")
        writer.skip(b"\x1b" * 5000, "symbolic link")
        source = writer.finish("tree", None)
    assert len(source.skipped[0].path) == 1024


def test_symbolic_link_in_the_tree_is_not_followed(layout: SourceLayout, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    with TreeWriter(layout, SourceLimits()) as writer:
        (layout.tree / "d").symlink_to(outside)
        (layout.tree / "f.py").symlink_to(outside / "f.py")
        put(writer, b"d/a.py")
        put(writer, b"f.py")
    assert list(outside.iterdir()) == []
