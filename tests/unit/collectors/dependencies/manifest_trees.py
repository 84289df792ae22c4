"""Trees of manifests for tests, and what is read from them."""

from collections.abc import Iterable
from pathlib import Path

from collectors.dependencies.manifests import read_manifests
from collectors.dependencies.requirements_format import DeclaredDependency, Entry


def declared(tmp_path: Path, **sources: str | bytes) -> dict[str, str | None]:
    """Write the manifests and return names and versions; there must be no gap."""
    found = read_manifests(write(tmp_path, sources))
    assert found.gaps == []
    return found.declared


def names_of(entries: Iterable[Entry]) -> list[tuple[str, str | None]]:
    return [entry[:2] for entry in entries if isinstance(entry, DeclaredDependency)]


def write(root: Path, sources: dict[str, str | bytes]) -> Path:
    for path, text in sources.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root
