"""Lines of a file: what identifies a line in another run, and columns in code points."""

import codecs
from collections.abc import Sequence
from functools import cached_property

from domain.findings.identity import line_hash
from domain.findings.location_hash import LocationHasher


class SourceLines:
    """The lines of a file, counted from 1. They end at CR, LF or CRLF, whatever the file's encoding."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._hashes: dict[int, str] = {}
        self._locations = LocationHasher(data)

    @cached_property
    def _lines(self) -> Sequence[bytes]:
        data = self._data.removeprefix(codecs.BOM_UTF8)
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data.split(b"\n")

    def line_hash(self, line: int) -> str:
        """Return the hash of the line without white space; of an empty line where the file has no such line."""
        known = self._hashes.get(line)
        if known is None:
            text = self._lines[line - 1] if 0 < line <= len(self._lines) else b""
            known = self._hashes[line] = line_hash(text)
        return known

    def location_hash(self, line: int) -> str | None:
        """Return GitHub's `primaryLocationLineHash` of the line; None where the file has no such line."""
        return self._locations.at(line)


def column_at(lines: Sequence[str], line: int, byte_offset: int) -> int | None:
    """Return the column in code points, from 1, of an offset in UTF-8 bytes from 0; None for an unknown line."""
    if not 0 < line <= len(lines):
        return None
    text = lines[line - 1]
    if text.isascii():
        return byte_offset + 1
    return len(text.encode("utf-8", "surrogatepass")[:byte_offset].decode("utf-8", "ignore")) + 1
