import pytest

from collectors.source.source_lines import SourceLines, column_at
from domain.findings.identity import content_digest, fingerprint, line_hash


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_line_hash_ignores_white_space_line_ends_and_the_byte_order_mark(line_end: bytes) -> None:
    lines = SourceLines(b"\xef\xbb\xbfx  = 1" + line_end + b"\t\x0cy = '\xff'" + line_end)
    assert lines.line_hash(1) == line_hash(b"x=1")
    assert lines.line_hash(2) == line_hash(b"y='\xff'")
    assert lines.line_hash(3) == lines.line_hash(99) == line_hash(b"")
    assert lines.location_hash(99) is None


def test_columns_are_code_points() -> None:
    lines = ["x = 1", "é = '😀' + y"]
    assert column_at(lines, 1, 4) == 5
    assert column_at(lines, 2, len("é = '😀' + ".encode())) == 11
    assert column_at(lines, 3, 0) is None


def test_hashes_have_16_digits() -> None:
    assert content_digest(b"") == "e3b0c44298fc1c14"  # SHA-256 of nothing begins so
    found = fingerprint("lint", "F401", "0123", None)
    assert len(found) == len(line_hash(b"")) == 16
    assert found == fingerprint("lint", "F401", "0123", "")
    assert found != fingerprint("lint", "F401", "0123", "f")
