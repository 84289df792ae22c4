"""Limits on the size of one source. They are enforced on the bytes that are read, not on declared sizes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from domain.text import JSON

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLimits:
    """Limits of one source, in bytes and counts; the defaults are those of the settings.

    max_upload_bytes: size of the decoded upload.
    max_zip_entries: entries of an archive.
    max_inflated_bytes: total size of the members that are read from an archive.
    max_zip_ratio: ratio of that size to the size of the archive.
    max_clone_bytes: size of the objects of a clone, and also of the files written from any source.
    max_tree_files: number of Python files and manifests together.
    max_file_bytes: size of one Python file.
    """

    max_upload_bytes: int = 5 * MIB
    max_zip_entries: int = 10_000
    max_inflated_bytes: int = 200 * MIB
    max_zip_ratio: int = 200
    max_clone_bytes: int = 1024 * MIB
    max_tree_files: int = 50_000
    max_file_bytes: int = 2048 * KIB

    @property
    def max_listed_entries(self) -> int:
        """Number of entries of any kind that a tree may have; more are refused as a decompression bomb."""
        return 20 * self.max_tree_files

    def to_json(self) -> dict[str, JSON]:
        """Convert to the form in which a child process receives it."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> "SourceLimits":
        """Convert back from the form of `to_json`."""
        return cls(**{name: int(number) for name, number in value.items()})
