"""Copy the files of a directory that have changed to another directory."""

import argparse
import hashlib
import shutil
from pathlib import Path

BLOCK_SIZE = 1 << 16


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    result = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_SIZE):
            result.update(block)
    return result.hexdigest()


def has_changed(source: Path, target: Path) -> bool:
    """Return whether the target is missing or differs."""
    return not target.exists() or digest(source) != digest(target)


def backup(source: Path, target: Path) -> int:
    """Copy what has changed and return the number of files."""
    copied = 0
    for path in source.rglob("*"):
        if not path.is_file():
            continue
        destination = target / path.relative_to(source)
        if has_changed(path, destination):
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, destination)
            copied += 1
    return copied


def main() -> None:
    """Read the arguments and print the number of files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    print(backup(arguments.source, arguments.target), "files")


if __name__ == "__main__":
    main()
