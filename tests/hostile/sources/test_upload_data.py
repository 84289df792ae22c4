"""Uploads that are no valid base64, no archive, too large, empty or misnamed."""

import os
import tracemalloc
from pathlib import Path

import pytest

from domain.errors import InvalidInputError, TransientError
from domain.sources import FetchedSource
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import MIB, SourceLimits
from infrastructure.sources.uploads.upload import fetch_upload
from tests.fixtures.archives import ZipMember, build_zip
from tests.fixtures.sources import Fetch, copied_tree


@pytest.mark.parametrize(
    "text", ["not base64!", "QUJD\nREVG", "QUJ", "QUJD=", "====", "QQ==QQ==", "é" * 8, "QUJD-_==", "\ud800"]
)
def test_invalid_base64_is_refused(layout: SourceLayout, text: str) -> None:
    with pytest.raises(InvalidInputError, match="not valid base64"):
        fetch_upload("a.py", text, layout, SourceLimits())


def test_large_upload_is_refused_before_decoding(layout: SourceLayout) -> None:
    text = "A" * (20 * MIB)
    tracemalloc.start()
    with pytest.raises(InvalidInputError, match=r"larger than 5 MB \(MAX_UPLOAD_MB\)"):
        fetch_upload("a.py", text, layout, SourceLimits())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MIB


def test_limit_applies_to_the_decoded_bytes(upload: Fetch, layout: SourceLayout) -> None:
    for size in (100, 99, 98):
        with pytest.raises(InvalidInputError, match="larger than"):
            upload(b"#" * (size + 1), filename="a.py", max_upload_bytes=size)
    upload(b"#" * 100, filename="a.py", max_upload_bytes=100)
    assert copied_tree(layout) == {"a.py": b"#" * 100}


def test_empty_upload_is_refused(upload: Fetch) -> None:
    for name in ("a.py", "a.zip"):
        with pytest.raises(InvalidInputError, match="empty"):
            upload(b"", filename=name)


def test_python_file_is_written_unchanged(upload: Fetch, layout: SourceLayout) -> None:
    source = upload(b"\xff\xfe not even text", filename="ünï code.py")
    assert copied_tree(layout) == {"ünï code.py": b"\xff\xfe not even text"}
    assert source == FetchedSource(has_history=False)


def test_large_python_file_is_refused(upload: Fetch) -> None:
    with pytest.raises(InvalidInputError, match=r"no Python file .* larger than 2048 KB"):
        upload(b"#" * (2 * MIB + 1), filename="a.py")


@pytest.mark.parametrize(
    "name", ["../a.py", "/a.py", "d/a.py", "d\\a.py", "C:a.py", "a\0.py", "n" * 300 + ".py", "\ud800/a.py"]
)
def test_python_file_named_like_a_path_is_refused(upload: Fetch, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match="is not a plain file name"):
        upload(b"x = 1\n", filename=name)
    assert not list(tmp_path.rglob("*.py"))


@pytest.mark.parametrize("name", ["a.tar.gz", "a.rar", "a.PY", "a", "", "a.zip.exe", "a.py\n", "x\x1b.txt"])
def test_other_file_types_are_refused(upload: Fetch, name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"upload a \.py or a \.zip") as raised:
        upload(b"x", filename=name)
    assert "\n" not in str(raised.value)
    assert "\x1b" not in str(raised.value)


def test_archive_extension_may_be_upper_case(upload: Fetch, layout: SourceLayout) -> None:
    upload(build_zip(ZipMember(b"good.py")), filename="UPLOAD.ZIP")
    assert set(copied_tree(layout)) == {"good.py"}


def test_full_disk_is_a_temporary_error(upload: Fetch, layout: SourceLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(TransientError, match="No space left"):
        upload(build_zip(ZipMember(b"good.py")))
