"""Archives as macOS, Windows and .NET make them, and directories that are packed here."""

import base64
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from domain.sources import FetchedSource
from infrastructure.sources.local.directory import fetch_directory
from infrastructure.sources.local.packing import pack_directory
from infrastructure.sources.tree.entry_names import UNSAFE_IN_ARCHIVE
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import SourceLimits
from infrastructure.sources.tree.notes import NOTES_NAME, SourceNotes
from infrastructure.sources.uploads.upload import fetch_upload
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.sources import copied_files

APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(140)
LIMITS = SourceLimits(max_file_bytes=4096)
NewLayout = Callable[[], SourceLayout]


def archive_of(members: dict[str, bytes], *, system: int = 3, extra: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            member = zipfile.ZipInfo("x" * len(name))
            member.filename = member.orig_filename = name  # as stored, whatever the system's separator is
            member.create_system, member.extra = system, extra
            archive.writestr(member, data)
    return buffer.getvalue()


def unpack(data: bytes, layout: SourceLayout) -> FetchedSource:
    return fetch_upload("a.zip", base64.b64encode(data).decode(), layout, LIMITS)


def names(layout: SourceLayout) -> list[str]:
    return [str(path.relative_to(layout.tree)) for path in copied_files(layout.tree)]


def reasons(source: FetchedSource) -> dict[str, str]:
    return {item.path: item.reason for item in source.skipped}


def test_metadata_of_macos_is_skipped(layout: SourceLayout) -> None:
    members = {
        "proj/a.py": b"x = 1\n",
        "proj/._a.py": APPLE_DOUBLE,
        "proj/._real.py": b"x = 1\n",
        "__MACOSX/._proj": APPLE_DOUBLE,
        "__MACOSX/proj/._a.py": APPLE_DOUBLE,
        "__MACOSX/.git/HEAD": b"x",
    }
    source = unpack(archive_of(members), layout)
    assert names(layout) == ["proj/._real.py", "proj/a.py"]
    assert reasons(source) == {"__MACOSX": "metadata of macOS", "proj/._a.py": "metadata of macOS (AppleDouble)"}


def test_metadata_of_macos_in_a_directory_is_skipped(tmp_path: Path, layout: SourceLayout) -> None:
    root = tmp_path / "source"
    root.mkdir()
    (root / "._a.py").write_bytes(APPLE_DOUBLE)
    (root / "a.py").write_text("x = 1\n")
    fetch_directory(root, layout, LIMITS)
    assert names(layout) == ["a.py"]


@pytest.mark.parametrize("system", [0, 6, 10, 11, 14])
def test_backslashes_of_dos_separate_folders(layout: SourceLayout, system: int) -> None:
    members = {"app\\core\\util.py": b"x = 1\n", "app\\main.py": b"x = 1\n", "app\\": b"", "setup.py": b"x = 1\n"}
    source = unpack(archive_of(members, system=system), layout)
    assert names(layout) == ["app/core/util.py", "app/main.py", "setup.py"]
    assert source.skipped == ()


@pytest.mark.parametrize("system", [3, 19])
def test_backslashes_separate_folders_where_no_name_has_a_slash(layout: SourceLayout, system: int) -> None:
    """Some programs on Windows claim to be on Unix."""
    members = {"app\\core\\util.py": b"x = 1\n", "setup.py": b"x = 1\n", "..\\up.py": b"x = 1\n"}
    source = unpack(archive_of(members, system=system), layout)
    assert names(layout) == ["app/core/util.py", "setup.py"]
    assert reasons(source) == {"../up.py": UNSAFE_IN_ARCHIVE}


def test_backslash_is_refused_in_an_archive_whose_names_have_slashes(layout: SourceLayout) -> None:
    source = unpack(archive_of({"app/main.py": b"x = 1\n", "a\\b.py": b"x = 1\n"}), layout)
    assert names(layout) == ["app/main.py"]
    assert reasons(source) == {"a\\b.py": UNSAFE_IN_ARCHIVE}


def test_parts_that_lead_nowhere_are_no_part_of_a_name(layout: SourceLayout) -> None:
    members = {"p//a.py": b"1\n", "p/./b.py": b"1\n", ".//c.py": b"1\n", "p/././/q/d.py": b"1\n", "p//": b""}
    assert unpack(archive_of(members), layout).skipped == ()
    assert names(layout) == ["c.py", "p/a.py", "p/b.py", "p/q/d.py"]


def test_what_leads_outside_is_refused_after_mapping(layout: SourceLayout) -> None:
    members = {"..\\x.py": b"1\n", "C:\\x.py": b"1\n", "\\x.py": b"1\n", "a\\..\\x.py": b"1\n", ".\\a.py": b"1\n"}
    source = unpack(archive_of(members, system=0), layout)
    assert names(layout) == ["a.py"]
    assert set(reasons(source).values()) == {UNSAFE_IN_ARCHIVE}
    assert len(source.skipped) == 4


def test_leading_dot_is_no_part_of_a_name(layout: SourceLayout) -> None:
    assert unpack(archive_of({"./a.py": b"1\n", "././p/b.py": b"1\n", "./": b""}), layout).skipped == ()
    assert names(layout) == ["a.py", "p/b.py"]


@pytest.mark.parametrize(("stored", "expected"), [("caf_.py", "café.py"), ("other.py", "other.py")])
def test_unicode_path_counts_if_its_checksum_fits(layout: SourceLayout, stored: str, expected: str) -> None:
    name = "café.py".encode()
    field = struct.pack("<BL", 1, zlib.crc32(b"caf_.py")) + name
    extra = struct.pack("<2H", 0x9999, 2) + b"zz" + struct.pack("<2H", 0x7075, len(field)) + field
    unpack(archive_of({stored: b"1\n"}, extra=extra), layout)
    assert names(layout) == [expected]


def test_packed_directory_names_what_the_directory_leaves_out(tmp_path: Path, new_layout: NewLayout) -> None:
    root = tmp_path / "source"
    root.mkdir()
    for name in ("venv/b.py", "real/a.py", "stubs/x.pyi", "data/x.json"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("x = 1\n")
    (root / "big.py").write_text("x = 1\n" * 4000)
    (root / "link.py").symlink_to("real/a.py")
    (root / ".git").write_text("gitdir: /nowhere\n")
    direct, packed = new_layout(), new_layout()
    expected = fetch_directory(root, direct, LIMITS)
    source = unpack(pack_directory(root, with_history=True, limits=LIMITS), packed)
    assert source.skipped == expected.skipped
    assert source.skipped_total == expected.skipped_total == 4
    assert {"big.py", "link.py", "venv", ".git"} == set(reasons(source))
    entries = [{str(path.relative_to(each.tree)) for path in each.tree.rglob("*")} for each in (direct, packed)]
    assert entries[0] == entries[1] > {"data", "big.py", "stubs/x.pyi"}


def test_packed_subdirectory_says_that_its_history_is_left_out(work_tree: WorkTree, layout: SourceLayout) -> None:
    source = unpack(pack_directory(work_tree.path / "pkg", with_history=True), layout)
    assert reasons(source) == {".git": "history left out: the directory is only a part of its work tree"}


def test_partial_clone_is_packed_without_its_history(work_tree: WorkTree, tmp_path: Path, layout: SourceLayout) -> None:
    work_tree.git("config", "uploadpack.allowFilter", "true")
    source = work_tree.path.as_uri()
    work_tree.git("clone", "-q", "--filter=blob:none", source, str(tmp_path / "partial"), GIT_ALLOW_PROTOCOL="file")
    data = pack_directory(tmp_path / "partial", with_history=True)
    assert "partial clone: fetch its blobs" in reasons(unpack(data, layout))[".git"]
    assert names(layout) == ["a.py", "pkg/run.py"]


@pytest.mark.parametrize(
    "data",
    [b"", b"[", b"[]", b"[" * 100_000, b'{"skipped": [1, ["a"], ["a", 1]], "skipped_total": "x", "placeholders": {}}'],
)
def test_notes_in_another_form_say_nothing(data: bytes) -> None:
    assert SourceNotes.from_bytes(data) == SourceNotes(skipped=[], placeholders=[]) or data != b"{}"
    assert not SourceNotes.from_bytes(data).skipped


def test_forged_notes_are_harmless(layout: SourceLayout) -> None:
    forged = (
        b'{"skipped": [["\\u202e\\n/x", "\\u0000"]], "skipped_total": 99999999999, '
        b'"placeholders": ["../../x.py", "/etc/x.py", "a.py", "../__init__.py", "ok.pyi", "d/", "../e/"]}'
    )
    source = unpack(archive_of({NOTES_NAME.decode(): forged, "a.py": b"x = 1\n"}), layout)
    assert source.skipped_total == 10**7
    assert source.skipped[0].path.isprintable()
    assert {path.name for path in layout.root.rglob("*")} == {"tree", "manifests", "a.py", "ok.pyi", "d"}
    assert (layout.tree / "a.py").read_text() == "x = 1\n"
