"""What a packed directory says of entries that are not in it, so that its analysis names them as that of the directory.

The notes are a JSON member of the archive. Whoever makes an archive may write what they like into it: it is only shown,
as the reasons of skipped files, and its names become empty placeholders.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from domain.metrics.report import SKIPPED_LIMIT, SkippedFile
from domain.text import one_line

NOTES_NAME = b".vibe8-notes.json"
MAX_NOTES_BYTES = 8 << 20
_MAX_NAMES = 50_000
_MAX_TOTAL = 10**7


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceNotes:
    """What was skipped, at most SKIPPED_LIMIT of `skipped_total`; and placeholders: directories end with a slash."""

    skipped: Sequence[SkippedFile] = ()
    skipped_total: int = 0
    placeholders: Sequence[str] = ()

    def to_bytes(self) -> bytes:
        """Encode the notes; the same notes give the same bytes."""
        skipped = [[item.path, item.reason] for item in self.skipped]
        document = {"skipped": skipped, "skipped_total": self.skipped_total, "placeholders": list(self.placeholders)}
        return json.dumps(document, sort_keys=True).encode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes) -> "SourceNotes":
        """Decode what `to_bytes` encoded. Anything else is left out."""
        try:
            document: Any = json.loads(data)
        except (ValueError, RecursionError):
            return cls()
        if not isinstance(document, dict):
            return cls()
        items = [item for item in _list(document.get("skipped"))[:SKIPPED_LIMIT] if _is_pair(item)]
        total = document.get("skipped_total")
        return cls(
            skipped=[SkippedFile(path=one_line(path, 1024), reason=one_line(reason, 300)) for path, reason in items],
            skipped_total=min(max(total, len(items)), _MAX_TOTAL) if isinstance(total, int) else len(items),
            placeholders=[name for name in _list(document.get("placeholders"))[:_MAX_NAMES] if isinstance(name, str)],
        )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_pair(item: Any) -> bool:
    return isinstance(item, list) and len(item) == 2 and all(isinstance(part, str) for part in item)
