"""Hostile uploads, built byte by byte. Where possible, each attack is first shown to work on plain `zipfile`."""

import base64
import bz2
import io
import os
import tracemalloc
import unicodedata
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Literal

import pytest

from domain.errors import InvalidInputError
from domain.sources import FetchedSource
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import KIB, MIB, SourceLimits
from infrastructure.sources.uploads.upload import fetch_upload
from tests.fixtures.archives import BZIP2, STORED, SYMLINK, ZipMember, build_zip, deflate
from tests.fixtures.sources import Fetch, copied_tree
from tests.unit.collectors.source_trees import load_tree


def reasons(source: FetchedSource) -> dict[str, str]:
    return {item.path: item.reason for item in source.skipped}


GOOD = ZipMember(b"good.py")


def test_built_archive_is_valid_for_zipfile() -> None:
    with zipfile.ZipFile(io.BytesIO(build_zip(GOOD, ZipMember(b"d/b.py", b"y\n", STORED)))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["good.py", "d/b.py"]


def test_ordinary_archive_keeps_its_folders_and_modes(upload: Fetch, layout: SourceLayout) -> None:
    source = upload(
        build_zip(
            ZipMember(b"top/"), ZipMember(b"top/a.py", mode=0o100755), ZipMember(b"top/b.py"), ZipMember(b"x.txt")
        )
    )
    assert set(copied_tree(layout)) == {"top/a.py", "top/b.py"}
    assert (layout.tree / "top/a.py").stat().st_mode & 0o111
    assert not (layout.tree / "top/b.py").stat().st_mode & 0o111
    assert source == FetchedSource(has_history=False)


# Bombs


def test_archive_over_the_ratio_limit_is_refused(upload: Fetch) -> None:
    bomb = build_zip(*(ZipMember(b"%d.py" % number, bytes(MIB)) for number in range(20)))
    assert len(bomb) < 30 * KIB
    with pytest.raises(InvalidInputError, match=r"200 times its size \(MAX_ZIP_RATIO\)"):
        upload(bomb)


def test_archive_over_the_inflated_size_limit_is_refused(upload: Fetch) -> None:
    noise = os.urandom(8 * KIB)
    bomb = build_zip(*(ZipMember(b"%d.py" % number, noise * 128) for number in range(20)))
    with pytest.raises(InvalidInputError, match=r"more than 10 MB \(MAX_INFLATED_MB\)"):
        upload(bomb, max_inflated_bytes=10 * MIB)


def test_members_of_other_kinds_are_not_read(upload: Fetch, layout: SourceLayout) -> None:
    upload(build_zip(GOOD, *(ZipMember(b"%d.bin" % number, bytes(MIB)) for number in range(20))))
    assert set(copied_tree(layout)) == {"good.py"}


def test_member_with_a_false_size_is_read_only_up_to_that_size(upload: Fetch, layout: SourceLayout) -> None:
    false_size = ZipMember(b"damaged.py", b"x = 1\n", body=deflate(bytes(100 * MIB)))
    assert len(zlib.decompress(false_size.compressed, -15)) == 100 * MIB
    tracemalloc.start()
    source = upload(build_zip(GOOD, false_size))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reasons(source) == {"damaged.py": "damaged in the archive"}
    assert peak < 10 * MIB
    assert set(copied_tree(layout)) == {"good.py"}


def test_overlapping_members_are_refused(upload: Fetch) -> None:
    kernel = ZipMember(b"a.py", b"x" * 500_000)
    names = [kernel, *(ZipMember(b"a.py", kernel.data, offset=0, bodyless=True) for _ in range(50))]
    bomb = build_zip(*names)
    # Each entry is valid on its own: fifty-one times the same bytes.
    assert len(bomb) < 5 * KIB
    assert len(zlib.decompress(kernel.compressed, -15)) == 500_000
    with pytest.raises(InvalidInputError, match="members overlap"):
        upload(bomb)


def test_quoted_overlap_is_refused(upload: Fetch) -> None:
    # CVE-2024-0450: the first member's "compressed" bytes are a stored block that quotes the next member's header.
    inner = ZipMember(b"inner.py", b"y" * 100_000)
    quoted = inner.local()
    outer = ZipMember(b"outer.py", quoted, method=STORED)
    position = len(outer.local()) - len(quoted)
    bomb = build_zip(outer, ZipMember(b"inner.py", inner.data, offset=position, bodyless=True))
    assert bomb[position:].startswith(b"PK\3\4")
    with pytest.raises(InvalidInputError, match="members overlap"):
        upload(bomb)


def test_member_that_extends_into_the_directory_is_refused(upload: Fetch) -> None:
    archive = bytearray(build_zip(GOOD, ZipMember(b"b.py", b"z" * 50, method=STORED)))
    position = archive.rindex(b"PK\1\2")
    archive[position + 20 : position + 24] = (5000).to_bytes(4, "little")
    with pytest.raises(InvalidInputError, match="extends into its directory"):
        upload(bytes(archive))


def test_nested_archives_are_not_unpacked(upload: Fetch, layout: SourceLayout) -> None:
    inner = build_zip(ZipMember(b"inner.py"))
    source = upload(build_zip(GOOD, ZipMember(b"inner.zip", inner), ZipMember(b"zip.py", inner)))
    assert copied_tree(layout) == {"good.py": b"x = 1\n", "zip.py": inner}
    assert source.skipped == ()


def compressed_by_zipfile(method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("bomb.py", bytes(MIB))
        archive.writestr("good.py", "x = 1\n", zipfile.ZIP_STORED)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "archive",
    [
        compressed_by_zipfile(zipfile.ZIP_BZIP2),
        compressed_by_zipfile(zipfile.ZIP_LZMA),
        build_zip(GOOD, ZipMember(b"bomb.py", method=99)),
        build_zip(GOOD, ZipMember(b"bomb.py", method=93)),
    ],
    ids=["bzip2", "lzma", "encrypted by AES", "zstandard"],
)
def test_members_with_other_compression_methods_are_skipped(
    upload: Fetch, layout: SourceLayout, archive: bytes
) -> None:
    tracemalloc.start()
    source = upload(archive)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reasons(source) == {"bomb.py": "compressed with a method other than deflate"}
    assert set(copied_tree(layout)) == {"good.py"}
    assert peak < MIB


def test_bzip2_member_fills_the_memory_of_zipfile() -> None:
    bomb = build_zip(ZipMember(b"bomb.py", bytes(64 * MIB), method=BZIP2, body=bz2.compress(bytes(64 * MIB))))
    assert len(bomb) < KIB
    tracemalloc.start()
    with zipfile.ZipFile(io.BytesIO(bomb)) as archive, archive.open("bomb.py") as stream:
        stream.read(1024)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak > 60 * MIB


# Entries


def test_entries_are_counted_without_allocating_for_them(upload: Fetch) -> None:
    entry = ZipMember(b"e").central(0)
    directory = entry * 70_000  # as many as fit into an upload
    end = b"PK\5\6" + bytes(4) + b"\x70\x11\x70\x11" + len(directory).to_bytes(4, "little") + bytes(6)
    bomb = directory + end
    tracemalloc.start()
    with pytest.raises(InvalidInputError, match=r"more than 10000 entries \(MAX_ZIP_ENTRIES\)"):
        upload(bomb)
    _, peak = tracemalloc.get_traced_memory()
    with zipfile.ZipFile(io.BytesIO(bomb)) as archive:
        assert len(archive.infolist()) == 70_000
    _, zipfile_peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * len(bomb)
    assert zipfile_peak > 2 * peak


@pytest.mark.parametrize("count", [1, 3, 0])
def test_false_entry_count_is_refused(upload: Fetch, count: int) -> None:
    with pytest.raises(InvalidInputError, match="disagree"):
        upload(build_zip(GOOD, ZipMember(b"b.py"), count=count))


def test_zip64_archive_is_read(upload: Fetch, layout: SourceLayout) -> None:
    assert upload(build_zip(GOOD, zip64=1)) == FetchedSource(has_history=False)
    assert set(copied_tree(layout)) == {"good.py"}


def test_zip64_record_with_billions_of_entries_is_refused(upload: Fetch) -> None:
    with pytest.raises(InvalidInputError, match="more than 10000 entries"):
        upload(build_zip(GOOD, zip64=10_000_000_000))


def test_limit_on_entries_is_exact(upload: Fetch, layout: SourceLayout) -> None:
    members = [ZipMember(b"%d.py" % number) for number in range(4)]
    with pytest.raises(InvalidInputError, match="more than 3 entries"):
        upload(build_zip(*members), max_zip_entries=3)
    assert not layout.tree.exists()
    upload(build_zip(*members), max_zip_entries=4)
    assert len(copied_tree(layout)) == 4


# Names


@pytest.mark.parametrize(
    "name",
    [
        b"../evil.py", b"a/../../evil.py", b"/etc/evil.py", b"//host/evil.py", b"C:/evil.py", b"C:evil.py",
        b"..\\evil.py", b"a\\..\\..\\evil.py", b".//../evil.py", b"a//../../evil.py", b"good.py\0.py",
    ],
)  # fmt: skip
def test_name_that_leaves_the_tree_is_skipped(upload: Fetch, layout: SourceLayout, tmp_path: Path, name: bytes) -> None:
    source = upload(build_zip(GOOD, ZipMember(name, b"evil\n")))
    assert list(reasons(source).values()) == [
        "unsafe name: pack the folder again with relative paths that stay inside it"
    ]
    assert copied_tree(layout) == {"good.py": b"x = 1\n"}
    assert not list(tmp_path.rglob("evil.py"))


def test_zipfile_truncates_a_name_at_nul() -> None:
    with zipfile.ZipFile(io.BytesIO(build_zip(ZipMember(b"good.py\0.exe", b"evil\n")))) as archive:
        assert archive.namelist() == ["good.py"]


def test_first_of_two_members_with_one_name_is_written(upload: Fetch, layout: SourceLayout) -> None:
    source = upload(build_zip(ZipMember(b"a.py", b"first\n"), ZipMember(b"a.py", b"second\n")))
    assert copied_tree(layout) == {"a.py": b"first\n"}
    assert reasons(source) == {"a.py": "another file has the same name"}


@pytest.mark.parametrize("order", [1, -1])
def test_second_of_a_file_and_a_directory_with_one_name_is_skipped(
    upload: Fetch, layout: SourceLayout, order: int
) -> None:
    members = [ZipMember(b"d.py", b"file\n"), ZipMember(b"d.py/inner.py", b"inner\n"), GOOD]
    source = upload(build_zip(*members[::order]))
    assert list(reasons(source).values()) == ["a file and a directory have the same name"]
    assert set(copied_tree(layout)) == {"good.py", "d.py" if order == 1 else "d.py/inner.py"}


def test_names_that_differ_in_case_are_different_files(upload: Fetch, layout: SourceLayout) -> None:
    names = ["Mod.py", "mod.py", "caf\u00e9.py", "aux.py", "con.py", "trailing .py"]
    upload(build_zip(*(ZipMember(name.encode(), name.encode()) for name in names)))
    assert copied_tree(layout) == {name: name.encode() for name in names}


@pytest.mark.parametrize("name", ["caf\u00e9.py", "d\u1eaf/a.py", "\ud55c.py"])
@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_second_of_two_names_that_look_the_same_is_skipped(
    upload: Fetch, layout: SourceLayout, name: str, forms: tuple[Literal["NFC", "NFD"], ...]
) -> None:
    first, second = (unicodedata.normalize(form, name) for form in forms)
    source = upload(build_zip(ZipMember(first.encode()), ZipMember(second.encode())))
    assert set(copied_tree(layout)) == {first}
    assert reasons(source) == {second: "another file has a name that looks the same"}


INVISIBLE = "\u200b\xad\ufe0f\u3164\u115f\U000e0041\u2060\xa0\u034f"


def test_names_with_invisible_characters_are_told_apart(upload: Fetch, layout: SourceLayout) -> None:
    names = ["ab.py", *(f"a{char}b.py" for char in INVISIBLE)]
    upload(build_zip(*(ZipMember(name.encode()) for name in names)))
    shown = [entry.path for entry in load_tree(layout.tree).entries]
    assert sorted(shown) == sorted(["ab.py", *(f"a{ascii(char)[1:-1]}b.py" for char in INVISIBLE)])


def test_names_are_decoded_as_utf8_and_otherwise_as_cp437(upload: Fetch, layout: SourceLayout) -> None:
    upload(build_zip(ZipMember("ünï.py".encode(), flags=0), ZipMember(b"\x81.py", flags=0), ZipMember("é.py".encode())))
    assert set(copied_tree(layout)) == {"ünï.py", "ü.py", "é.py"}


def test_name_with_invalid_utf8_is_refused(upload: Fetch) -> None:
    with pytest.raises(InvalidInputError, match="damaged"):
        upload(build_zip(GOOD, ZipMember(b"\xff.py", flags=0x800)))


def test_long_and_deep_names_are_skipped(upload: Fetch) -> None:
    source = upload(
        build_zip(
            GOOD, ZipMember(b"n" * 300 + b".py"), ZipMember(b"d/" * 70 + b"a.py"), ZipMember(b"d" * 5000 + b"/a.py")
        )
    )
    assert sorted(reasons(source).values()) == ["deeper than 64 directories", "name too long", "name too long"]
    assert max(map(len, reasons(source))) <= 1024


def test_displayed_names_are_escaped(upload: Fetch) -> None:
    source = upload(build_zip(GOOD, ZipMember("../\x1b[31m\u202e.py".encode())))
    assert list(reasons(source)) == ["../\\x1b[31m\\u202e.py"]


def test_excluded_directory_is_recorded_once(upload: Fetch, layout: SourceLayout) -> None:
    source = upload(build_zip(GOOD, ZipMember(b"p/venv/"), ZipMember(b"p/venv/a.py"), ZipMember(b"p/venv/b.py")))
    assert reasons(source) == {"p/venv": "excluded directory"}
    assert set(copied_tree(layout)) == {"good.py"}


# Members


def test_symbolic_links_are_skipped(upload: Fetch, layout: SourceLayout) -> None:
    file = ZipMember(b"link.py", b"/etc/passwd", mode=SYMLINK)
    directory = ZipMember(b"d", b"/tmp", mode=SYMLINK)
    source = upload(build_zip(GOOD, file, directory, ZipMember(b"d/a.py")))
    assert reasons(source) == {"link.py": "symbolic link", "d": "symbolic link"}
    assert set(copied_tree(layout)) == {"good.py", "d/a.py"}
    assert not (layout.tree / "d").is_symlink()


@pytest.mark.parametrize("mode", [0o010644, 0o020644, 0o060644, 0o140644])
def test_devices_and_pipes_are_skipped(upload: Fetch, mode: int) -> None:
    assert reasons(upload(build_zip(GOOD, ZipMember(b"odd.py", mode=mode)))) == {"odd.py": "not a regular file"}


@pytest.mark.parametrize(
    "damaged",
    [
        ZipMember(b"damaged.py", b"abcdef", size=3),
        ZipMember(b"damaged.py", b"abcdef", size=60),
        ZipMember(b"damaged.py", b"abcdef", size=60, method=STORED),
        ZipMember(b"damaged.py", b"abcdef", crc=1),
        ZipMember(b"damaged.py", b"abcdef", body=b"\xff\xff\xff"),
        ZipMember(b"damaged.py", b"abcdef", body=deflate(b"abcdef")[:-2]),
        ZipMember(b"damaged.py", b"abcdef", flags=0x20),
    ],
)
def test_damaged_member_is_skipped_and_others_are_kept(upload: Fetch, layout: SourceLayout, damaged: ZipMember) -> None:
    assert reasons(upload(build_zip(GOOD, damaged))) == {"damaged.py": "damaged in the archive"}
    assert set(copied_tree(layout)) == {"good.py"}


def test_member_with_another_name_in_its_own_header_is_skipped(upload: Fetch) -> None:
    archive = build_zip(GOOD, ZipMember(b"other.py")).replace(b"other.py", b"OTHER.py", 1)
    assert reasons(upload(archive)) == {"other.py": "damaged in the archive"}


def test_large_member_is_skipped(upload: Fetch) -> None:
    source = upload(build_zip(GOOD, ZipMember(b"big.py", bytes(2 * MIB + 1))))
    assert reasons(source) == {"big.py": "larger than 2048 KB"}


@pytest.mark.parametrize("flags", [0x1, 0x41, 0x2001])
def test_encrypted_archive_is_refused(upload: Fetch, flags: int) -> None:
    with pytest.raises(InvalidInputError, match="encrypted; upload it without a password"):
        upload(build_zip(GOOD, ZipMember(b"secret.py", flags=flags)))


# The upload as a whole


@pytest.mark.parametrize("archive", [build_zip(ZipMember(b"README.md")), build_zip()], ids=["without", "empty"])
def test_archive_without_python_files_is_refused(upload: Fetch, archive: bytes) -> None:
    with pytest.raises(InvalidInputError, match="the archive has no Python file"):
        upload(archive)


@pytest.mark.parametrize("data", [b"x", b"PK\3\4 and then nothing", b"PK\5\6", b"PK\5\6" + b"\xff" * 18, bytes(100)])
def test_data_that_is_no_zip_is_refused(upload: Fetch, data: bytes) -> None:
    with pytest.raises(InvalidInputError, match=r"not a zip archive|damaged"):
        upload(data)


def test_every_truncation_of_an_archive_is_refused(tmp_path: Path) -> None:
    archive = build_zip(GOOD, ZipMember(b"b.py", b"y\n" * 50))
    for end in range(1, len(archive)):
        root = tmp_path / str(end)
        root.mkdir()
        with pytest.raises(InvalidInputError):
            fetch_upload("u.zip", base64.b64encode(archive[:end]).decode(), SourceLayout(root), SourceLimits())


def test_archive_with_any_flipped_byte_is_refused_or_writes_only_original_content(tmp_path: Path) -> None:
    archive = build_zip(GOOD, ZipMember(b"b.py", b"y\n" * 50))
    outcomes: Counter[str] = Counter()
    for position in range(len(archive)):
        for flip in (0x01, 0x80, 0xFF):
            layout = SourceLayout(tmp_path / f"{position}-{flip}")
            layout.root.mkdir()
            data = archive[:position] + bytes([archive[position] ^ flip]) + archive[position + 1 :]
            try:
                fetch_upload("u.zip", base64.b64encode(data).decode(), layout, SourceLimits())
            except InvalidInputError:  # and no other error
                outcomes["refused"] += 1
            else:
                assert set(copied_tree(layout).values()) <= {GOOD.data, b"y\n" * 50}
                outcomes["accepted"] += 1
            assert {path.name for path in layout.root.iterdir()} <= {"tree", "manifests"}
    assert outcomes.total() == 3 * len(archive)
    assert min(outcomes["refused"], outcomes["accepted"]) > 100
