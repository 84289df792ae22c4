"""A hostile zip archive, opened and read within budgets. Nothing is believed but the bytes that were read."""

import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from io import BytesIO

from domain.errors import InvalidInputError
from infrastructure.sources.tree.limits import MIB, SourceLimits

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s24x3H12x")
_LOCAL = struct.Struct("<4s22x2H")
_COMMENT_MAX = 0xFFFF

_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UTF8 = 0x800
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_PIECE = 1 << 16

_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError,
    OverflowError, OSError,
)  # fmt: skip


class ZipMemberError(Exception):
    """One member cannot be read; the text is the reason, in a few words."""


@dataclass(frozen=True, slots=True)
class _Directory:
    """Where the central directory lies, and how many entries the end record claims."""

    start: int
    end: int
    claimed: int


class ZipArchive:
    """The members of an archive that has passed the checks which must come before any reading."""

    def __init__(self, data: bytes, limits: SourceLimits) -> None:
        """Raises InvalidInputError for what is not a zip, or is made to harm its reader."""
        directory = _find_directory(data)
        counted = _count_entries(data, directory, limits.max_zip_entries)
        try:
            self._zip = zipfile.ZipFile(BytesIO(data))
        except _UNREADABLE as error:
            raise InvalidInputError("the archive is damaged: its directory cannot be read") from error
        self.members = self._zip.infolist()
        if len(self.members) != counted or counted != directory.claimed or self._zip.start_dir != directory.start:
            raise InvalidInputError("the archive is damaged: its directory and its end record disagree")
        _reject_overlaps(data, self.members, directory.start)
        self._limits = limits
        self._size = len(data)
        self._read = 0

    def read(self, member: zipfile.ZipInfo, limit: int) -> bytes:
        """The member's bytes, at most `limit`.

        Raises ZipMemberError where it cannot be had, InvalidInputError where the archive as a whole passes a budget or
        is encrypted.
        """
        if member.flag_bits & _ENCRYPTED:
            raise InvalidInputError("the archive is encrypted; upload it without a password")
        if member.compress_type not in _METHODS:
            raise ZipMemberError("compressed with a method other than deflate")
        pieces = bytearray()
        try:
            with self._zip.open(member) as stream:
                # A piece at a time, so that neither the member nor its claims decide how much memory it takes.
                while piece := stream.read(_PIECE):
                    self._charge(len(piece))
                    pieces += piece
                    if len(pieces) > limit:
                        raise ZipMemberError("too large")
        except _UNREADABLE as error:
            raise ZipMemberError("damaged in the archive") from error
        if len(pieces) != member.file_size:
            raise ZipMemberError("damaged in the archive")
        return bytes(pieces)

    def _charge(self, count: int) -> None:
        self._read += count
        if self._read > self._limits.max_inflated_bytes:
            raise InvalidInputError(
                f"the archive unpacks to more than {self._limits.max_inflated_bytes // MIB} MB (MAX_INFLATED_MB)"
            )
        if self._read > self._limits.max_zip_ratio * self._size:
            raise InvalidInputError(
                f"the archive unpacks to more than {self._limits.max_zip_ratio} times its size (MAX_ZIP_RATIO)"
            )


def member_name(member: zipfile.ZipInfo) -> bytes:
    """The name as it stands in the archive: zipfile's own is cut at NUL and mapped.

    Packers on Linux write UTF-8 and often forget to say so.
    """
    name = member.orig_filename
    if not member.flag_bits & _UTF8:
        raw = name.encode("cp437", "replace")
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError:
            return name.encode("utf-8")
        return raw
    return name.encode("utf-8")


def irregular_file_reason(member: zipfile.ZipInfo) -> str | None:
    """Why the member is not a regular file by its mode bits; None where it is, or where there are none."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "symbolic link"
    return None if kind in (0, stat.S_IFREG) else "not a regular file"


def is_executable(member: zipfile.ZipInfo) -> bool:
    """Whether any executable bit is set."""
    return bool(member.external_attr >> 16 & 0o111)


def _find_directory(data: bytes) -> _Directory:
    """The end record that zipfile will take: the very last bytes, else the last signature before a comment."""
    place = len(data) - _END.size
    if not (place >= 0 and data.startswith(b"PK\5\6", place) and data.endswith(b"\0\0")):
        place = data.rfind(b"PK\5\6", max(0, len(data) - _END.size - _COMMENT_MAX))
    if place < 0 or place + _END.size > len(data):
        raise InvalidInputError("the upload is not a zip archive")
    _, _, _, _, claimed, size, _, _ = _END.unpack_from(data, place)
    end = place
    end64 = place - _END64_LOCATOR.size - _END64.size
    if end64 >= 0 and data.startswith(b"PK\6\7", place - _END64_LOCATOR.size) and data.startswith(b"PK\6\6", end64):
        _, _, _, _, _, _, _, claimed, size, _ = _END64.unpack_from(data, end64)
        end = end64
    if size > end:
        raise InvalidInputError("the archive is damaged: its directory cannot be read")
    return _Directory(end - size, end, claimed)


def _count_entries(data: bytes, directory: _Directory, limit: int) -> int:
    """Walk the directory without making anything of it; the count in the end record may lie."""
    count, place = 0, directory.start
    while place < directory.end:
        if place + _CENTRAL.size > directory.end or not data.startswith(b"PK\1\2", place):
            raise InvalidInputError("the archive is damaged: its directory cannot be read")
        _, *lengths = _CENTRAL.unpack_from(data, place)
        place += _CENTRAL.size + sum(lengths)
        count += 1
        if count > limit:
            break
    if max(count, directory.claimed) > limit:
        raise InvalidInputError(f"the archive has more than {limit} entries (MAX_ZIP_ENTRIES)")
    return count


def _reject_overlaps(data: bytes, members: list[zipfile.ZipInfo], end: int) -> None:
    """Members that share bytes are how a small archive unpacks to petabytes (CVE-2019-9674, CVE-2024-0450)."""
    taken = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        place = member.header_offset
        if place < taken:
            raise InvalidInputError("the archive's members overlap")
        taken = place + _LOCAL.size + member.compress_size
        if 0 <= place <= len(data) - _LOCAL.size:
            _, name, extra = _LOCAL.unpack_from(data, place)
            taken += name + extra
        if taken > end:
            raise InvalidInputError("the archive is damaged: a member reaches beyond its end")
