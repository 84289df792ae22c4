import pytest

from infrastructure.sources.tree.entry_names import (
    UNSAFE_IN_ARCHIVE,
    display_path,
    find_excluded_directory,
    invalid_name_reason,
    is_apple_double,
    is_python_or_manifest,
)


@pytest.mark.parametrize(
    "name",
    [b"/etc/x.py", b"../x.py", b"a/../../x.py", b"a//x.py", b"./x.py", b"a/./x.py", b"nul\0.py", b"a/..", b""],
)
def test_path_that_leaves_the_tree_is_unsafe_everywhere(name: bytes) -> None:
    assert invalid_name_reason(name, archive=True) == UNSAFE_IN_ARCHIVE
    assert invalid_name_reason(name, archive=False) == "unsafe name"


@pytest.mark.parametrize("name", [b"C:/x.py", b"c:x.py", b"a\\b.py", b"..\\x.py", b"\\\\host\\share\\x.py"])
def test_backslash_and_drive_letter_are_refused_in_archives_only(name: bytes) -> None:
    assert invalid_name_reason(name, archive=True) == UNSAFE_IN_ARCHIVE
    assert invalid_name_reason(name, archive=False) is None


def test_length_and_depth_of_a_path_are_limited() -> None:
    assert invalid_name_reason(b"a" * 255, archive=False) is None
    assert invalid_name_reason(b"a" * 256, archive=False) == "name too long"
    long = b"/".join([b"a" * 100] * 10) + b"/" + b"b" * 14
    assert len(long) == 1024
    assert invalid_name_reason(long, archive=False) is None
    assert invalid_name_reason(long + b"b", archive=False) == "name too long"
    assert invalid_name_reason(b"/".join([b"d"] * 64), archive=False) is None
    assert invalid_name_reason(b"/".join([b"d"] * 65), archive=False) == "deeper than 64 directories"


def test_outermost_excluded_directory_above_a_path_is_found() -> None:
    assert find_excluded_directory(b"a/venv/lib/node_modules/x.py") == b"a/venv"
    assert find_excluded_directory(b"venv") is None
    assert find_excluded_directory(b"Venv/x.py") is None


def test_python_files_and_manifests_are_told_by_their_names() -> None:
    assert is_python_or_manifest(b"d/a.py")
    assert is_python_or_manifest(b"d/requirements-dev.txt")
    assert not is_python_or_manifest(b"a.pyc")
    assert not is_python_or_manifest(b"py")


def test_metadata_of_macos_is_told_by_its_name_and_its_first_bytes() -> None:
    assert is_apple_double(b"d/._a.py", b"\x00\x05\x16\x07rest")
    assert not is_apple_double(b"d/._a.py", b"x = 1\n")
    assert not is_apple_double(b"d/a.py", b"\x00\x05\x16\x07rest")


def test_displayed_path_has_no_control_characters_and_no_undecodable_bytes() -> None:
    assert display_path(b"a\x1b[31m\xff.py") == "a\\x1b[31m\\xff.py"
