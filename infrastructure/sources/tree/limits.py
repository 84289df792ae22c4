"""How much one source may cost. All of it is enforced while reading, never by trusting a declared size."""

from collections.abc import Mapping
from dataclasses import dataclass

from domain.text import JSON

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLimits:
    """The caps of a source, in bytes and counts; the defaults are the settings' own.

    `max_upload_bytes` is of the decoded upload; `max_inflated_bytes` of all members read from an archive, and
    `max_zip_ratio` of those bytes to the archive's own; `max_clone_bytes` of the objects that a clone brings, and
    again of the tree written from any source; `max_tree_files` of Python files and manifests together.
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
        """How many names of any kind a tree may have before it is taken for a bomb."""
        return 20 * self.max_tree_files

    def to_json(self) -> dict[str, JSON]:
        """As a child process receives it."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> "SourceLimits":
        """The inverse of `to_json`."""
        return cls(**{name: int(number) for name, number in value.items()})
