"""Zip archives byte by byte, so that they can lie."""

import struct
import zlib
from dataclasses import dataclass

STORED, DEFLATED, BZIP2, LZMA = 0, 8, 12, 14
SYMLINK = 0o120777
FILE = 0o100644


def deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return compressor.compress(data) + compressor.flush()


@dataclass
class Member:
    """One member; what is None is told truly."""

    name: bytes
    data: bytes = b"x = 1\n"
    method: int = DEFLATED
    flags: int = 0x800
    mode: int = FILE
    size: int | None = None  # as claimed
    crc: int | None = None  # as claimed
    body: bytes | None = None  # the compressed bytes themselves
    offset: int | None = None  # as claimed; with `bodyless`, of another member
    bodyless: bool = False

    @property
    def compressed(self) -> bytes:
        if self.body is not None:
            return self.body
        return deflate(self.data) if self.method == DEFLATED else self.data

    def common(self) -> bytes:
        crc = zlib.crc32(self.data) if self.crc is None else self.crc
        size = len(self.data) if self.size is None else self.size
        return struct.pack(
            "<4H3L2H", self.flags, self.method, 0, 0x21, crc, len(self.compressed), size, len(self.name), 0
        )

    def local(self) -> bytes:
        return b"PK\3\4" + struct.pack("<H", 20) + self.common() + self.name + self.compressed

    def central(self, offset: int) -> bytes:
        offset = offset if self.offset is None else self.offset
        return (
            b"PK\1\2\x14\3" + struct.pack("<H", 20) + self.common()
            + struct.pack("<3H2L", 0, 0, 0, self.mode << 16, offset) + self.name
        )  # fmt: skip


def build(*members: Member, count: int | None = None, comment: bytes = b"", zip64: int | None = None) -> bytes:
    """The archive. `count` is what the end record claims; `zip64` adds a zip64 end record that claims so many."""
    body, directory = b"", b""
    for member in members:
        directory += member.central(len(body))
        if not member.bodyless:
            body += member.local()
    start, claimed = len(body), len(members) if count is None else count
    extra = b""
    if zip64 is not None:
        record = struct.pack("<Q2H2L4Q", 44, 45, 45, 0, 0, zip64, zip64, len(directory), start)
        extra = b"PK\6\6" + record + b"PK\6\7" + struct.pack("<LQL", 0, start + len(directory), 1)
        claimed = 0xFFFF
    end = b"PK\5\6" + struct.pack("<4H2LH", 0, 0, claimed, claimed, len(directory), start, len(comment))
    return body + directory + extra + end + comment
