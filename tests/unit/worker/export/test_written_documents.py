"""Exported documents in files."""

from pathlib import Path

import pytest

from domain.errors import InvalidInputError
from worker.cli.output.documents import write_document


def test_file_is_written_and_replaced(tmp_path: Path) -> None:
    target = tmp_path / "vibe8.sarif"
    write_document(b"one", target)
    assert target.read_bytes() == b"one"
    target.chmod(0o640)
    write_document(b"two", target)
    assert target.read_bytes() == b"two"
    assert target.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [target]


def test_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "real", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_document(b"new", link)
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("name", ["", "missing/x", "x" * 300])
def test_place_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot write "):
        write_document(b"x", tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "kept"
    target.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(InvalidInputError, match="kept: No space left on device"):
        write_document(b"new", target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_device_is_written_to_and_not_replaced() -> None:
    write_document(b"x", Path("/dev/null"))
    assert Path("/dev/null").is_char_device()
