"""Reading of untrusted zip archives within limits, which are enforced on the bytes read and not on declared sizes."""

import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from domain.errors import InvalidInputError
from infrastructure.sources.tree.limits import MIB, SourceLimits

_END_RECORD = struct.Struct("<4s4H2LH")
_ZIP64_LOCATOR = struct.Struct("<4sLQL")
_ZIP64_END_RECORD = struct.Struct("<4sQ2H2L4Q")
_CENTRAL_HEADER = struct.Struct("<4s24x3H12x")
_LOCAL_HEADER = struct.Struct("<4s22x2H")
_EXTRA_HEADER = struct.Struct("<2H")
_UNICODE_PATH = 0x7075
_DOS_SYSTEMS = (0, 6, 10, 11, 14)
"""Where a backslash separates folders: FAT, HPFS, NTFS, NTFS by Info-ZIP's number, VFAT."""

_MAX_COMMENT_BYTES = 0xFFFF

_ENCRYPTION_FLAGS = 0x1 | 0x40 | 0x2000
_UTF8_FLAG = 0x800
_SUPPORTED_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_CHUNK_BYTES = 1 << 16

_READ_ERRORS = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError,
    OverflowError, OSError,
)  # fmt: skip


class ZipMemberError(Exception):
    """A member of an archive that cannot be read. The message says why in a few words."""


@dataclass(frozen=True, slots=True)
class _CentralDirectory:
    """Position of the central directory, and the number of entries that the end record declares."""

    start: int
    end: int
    declared_entries: int


class ZipArchive:
    """An opened archive that has passed the checks that must precede reading its members."""

    def __init__(self, data: bytes, limits: SourceLimits) -> None:
        """Open the archive. Raises InvalidInputError if it is not a zip archive, is damaged, or exceeds a limit."""
        directory = _find_directory(data)
        entry_count = _count_entries(data, directory, limits.max_zip_entries)
        try:
            self._zip = zipfile.ZipFile(BytesIO(data))
        except _READ_ERRORS as error:
            raise InvalidInputError("the archive is damaged: its directory cannot be read") from error
        self.members = self._zip.infolist()
        if (
            len(self.members) != entry_count
            or entry_count != directory.declared_entries
            or self._zip.start_dir != directory.start
        ):
            raise InvalidInputError("the archive is damaged: its directory and its end record disagree")
        _reject_overlaps(data, self.members, directory.start)
        self._limits = limits
        self._archive_bytes = len(data)
        self._inflated_bytes = 0

    def read(self, member: zipfile.ZipInfo, limit: int) -> bytes:
        """Read a member of at most `limit` bytes.

        Raises ZipMemberError if the member cannot be read, InvalidInputError if the archive as a whole exceeds a limit
        or is encrypted.
        """
        if member.flag_bits & _ENCRYPTION_FLAGS:
            raise InvalidInputError("the archive is encrypted; upload it without a password")
        if member.compress_type not in _SUPPORTED_METHODS:
            raise ZipMemberError("compressed with a method other than deflate")
        data = bytearray()
        try:
            with self._zip.open(member) as stream:
                # Read in chunks, so that neither the member's size nor its declared size determines the memory used.
                while chunk := stream.read(_CHUNK_BYTES):
                    self._count_inflated(len(chunk))
                    data += chunk
                    if len(data) > limit:
                        raise ZipMemberError("too large")
        except _READ_ERRORS as error:
            raise ZipMemberError("damaged in the archive") from error
        if len(data) != member.file_size:
            raise ZipMemberError("damaged in the archive")
        return bytes(data)

    def _count_inflated(self, count: int) -> None:
        self._inflated_bytes += count
        if self._inflated_bytes > self._limits.max_inflated_bytes:
            raise InvalidInputError(
                f"the archive unpacks to more than {self._limits.max_inflated_bytes // MIB} MB (MAX_INFLATED_MB)"
            )
        if self._inflated_bytes > self._limits.max_zip_ratio * self._archive_bytes:
            raise InvalidInputError(
                f"the archive unpacks to more than {self._limits.max_zip_ratio} times its size (MAX_ZIP_RATIO)"
            )


def member_names(members: Sequence[zipfile.ZipInfo]) -> list[bytes]:
    r"""Return the names of all members as the system that made the archive means them.

    A backslash separates folders in archives from DOS and Windows, and in those with no slash at all: some programs on
    Windows claim another system. A part `.` and an empty one within a name, and a leading `./`, are no part of it.
    Whether a name leads outside is not judged here.
    """
    names = [_stored_name(member) for member in members]
    without_slash = not any(b"/" in name for name in names)
    return [
        _plain_name(name.replace(b"\\", b"/") if without_slash or member.create_system in _DOS_SYSTEMS else name)
        for name, member in zip(names, members, strict=True)
    ]


def _plain_name(name: bytes) -> bytes:
    """Leave out the parts that lead nowhere; an empty first part, and an empty last one, have a meaning."""
    first, *parts = name.split(b"/")
    if not parts:
        return name
    inner = [part for part in parts[:-1] if part not in (b"", b".")]
    plain = b"/".join([*([] if first == b"." else [first]), *inner, parts[-1]])
    return plain or name


def _stored_name(member: zipfile.ZipInfo) -> bytes:
    """Return the name as it is stored; zipfile's `filename` is cut at NUL and converted.

    A name without the UTF-8 flag is taken as UTF-8 if it is valid UTF-8, because many programs on Linux do not set it.
    Info-ZIP's Unicode path is used if its checksum fits the stored name.
    """
    name = member.orig_filename
    raw = name.encode("utf-8") if member.flag_bits & _UTF8_FLAG else name.encode("cp437", "replace")
    return _unicode_path(member.extra, raw) or (raw if _is_utf_8(raw) else name.encode("utf-8"))


def _unicode_path(extra: bytes, stored: bytes) -> bytes | None:
    """Return the name in Info-ZIP's Unicode path field; None if there is none, or if it is of another stored name."""
    while len(extra) >= _EXTRA_HEADER.size:
        kind, size = _EXTRA_HEADER.unpack_from(extra)
        content, extra = extra[_EXTRA_HEADER.size :][:size], extra[_EXTRA_HEADER.size + size :]
        if kind == _UNICODE_PATH and len(content) == size > 5 and content[0] == 1:
            name = content[5:]
            if int.from_bytes(content[1:5], "little") == zlib.crc32(stored) and _is_utf_8(name):
                return name
    return None


def _is_utf_8(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def irregular_file_reason(member: zipfile.ZipInfo) -> str | None:
    """Return why the member is not a regular file, by its mode bits; None if it is, or if it has no mode bits."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "symbolic link"
    return None if kind in (0, stat.S_IFREG) else "not a regular file"


def is_link(member: zipfile.ZipInfo) -> bool:
    """Whether the member is a symbolic link, by its mode bits."""
    return stat.S_ISLNK(member.external_attr >> 16)


def is_executable(member: zipfile.ZipInfo) -> bool:
    """Whether any executable bit of the member is set."""
    return bool(member.external_attr >> 16 & 0o111)


def check_end_record(data: bytes) -> None:
    """Raise InvalidInputError if the bytes have no end record, as every zip archive has."""
    _find_directory(data)


def _find_directory(data: bytes) -> _CentralDirectory:
    """Find the central directory by the end record that zipfile uses too.

    That is the one at the very end, else the last one that a comment may follow.
    """
    position = len(data) - _END_RECORD.size
    if not (position >= 0 and data.startswith(b"PK\5\6", position) and data.endswith(b"\0\0")):
        position = data.rfind(b"PK\5\6", max(0, len(data) - _END_RECORD.size - _MAX_COMMENT_BYTES))
    if position < 0 or position + _END_RECORD.size > len(data):
        raise InvalidInputError("the upload is not a zip archive")
    _, _, _, _, declared_entries, size, _, _ = _END_RECORD.unpack_from(data, position)
    end = position
    zip64_end = position - _ZIP64_LOCATOR.size - _ZIP64_END_RECORD.size
    if (
        zip64_end >= 0
        and data.startswith(b"PK\6\7", position - _ZIP64_LOCATOR.size)
        and data.startswith(b"PK\6\6", zip64_end)
    ):
        _, _, _, _, _, _, _, declared_entries, size, _ = _ZIP64_END_RECORD.unpack_from(data, zip64_end)
        end = zip64_end
    if size > end:
        raise InvalidInputError("the archive is damaged: its directory cannot be read")
    return _CentralDirectory(end - size, end, declared_entries)


def _count_entries(data: bytes, directory: _CentralDirectory, limit: int) -> int:
    """Count the entries by walking the headers, because the count in the end record may be false."""
    count, position = 0, directory.start
    while position < directory.end:
        if position + _CENTRAL_HEADER.size > directory.end or not data.startswith(b"PK\1\2", position):
            raise InvalidInputError("the archive is damaged: its directory cannot be read")
        _, *lengths = _CENTRAL_HEADER.unpack_from(data, position)
        position += _CENTRAL_HEADER.size + sum(lengths)
        count += 1
        if count > limit:
            break
    if max(count, directory.declared_entries) > limit:
        raise InvalidInputError(f"the archive has more than {limit} entries (MAX_ZIP_ENTRIES)")
    return count


def _reject_overlaps(data: bytes, members: list[zipfile.ZipInfo], end: int) -> None:
    """Raise InvalidInputError if members share bytes, as in bombs like CVE-2019-9674 and CVE-2024-0450."""
    used_until = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        position = member.header_offset
        if position < used_until:
            raise InvalidInputError("the archive's members overlap")
        used_until = position + _LOCAL_HEADER.size + member.compress_size
        if 0 <= position <= len(data) - _LOCAL_HEADER.size:
            _, name_length, extra_length = _LOCAL_HEADER.unpack_from(data, position)
            used_until += name_length + extra_length
        if used_until > end:
            raise InvalidInputError("the archive is damaged: a member extends into its directory")
