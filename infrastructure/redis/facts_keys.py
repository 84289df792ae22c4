"""The digests under which facts about files are kept: all that the facts depend on is in them.

They are computed in the worker, which parses nothing: no file of a tree can have any say in another's digest.
"""

import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from importlib.machinery import SOURCE_SUFFIXES
from pathlib import Path

DIGEST_BYTES = 20

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Whoever filled scratch may have been taken over: no link is followed, no pipe waited for."""

_OUR_PACKAGES = ("collectors", "domain")


@dataclass(frozen=True, slots=True)
class TreeKeys:
    """Digests by a file's name: its relative path in bytes.

    `contents` go with the file's bytes and its path, `places` also with the names and executable bits of all files of
    the tree, which ruff looks at.
    """

    contents: dict[bytes, bytes] = field(default_factory=dict)
    places: dict[bytes, bytes] = field(default_factory=dict)


def fingerprint() -> bytes:
    """What the facts owe to the code that finds them: our own sources, every distribution installed, this Python."""
    digest = blake2b(digest_size=DIGEST_BYTES)
    for part in (sys.version, sys.byteorder, sys.platform, *_distributions()):
        digest.update(part.encode() + b"\0")
    root = Path(__file__).parents[2]
    for package in _OUR_PACKAGES:
        for source in sorted((root / package).rglob(f"*{SOURCE_SUFFIXES[0]}")):
            content = source.read_bytes()
            digest.update(b"%d\0" % len(content) + content)
    return digest.digest()


def _distributions() -> list[str]:
    """Names and versions, as their metadata's directories are called."""
    found: set[str] = set()
    for place in filter(os.path.isdir, sys.path):
        found.update(name for name in os.listdir(place) if name.endswith((".dist-info", ".egg-info")))  # noqa: PTH208
    return sorted(found)


def secret(*parts: bytes) -> bytes:
    """A key for digests that nobody shares who differs in any of the parts."""
    digest = blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        digest.update(b"%d\0" % len(part) + part)
    return digest.digest()


def keyed(key: bytes, *parts: bytes) -> bytes:
    """The digest of the parts in a row, each told from the next."""
    digest = blake2b(key=key, digest_size=DIGEST_BYTES)
    for part in parts:
        digest.update(b"%d\0" % len(part))
        digest.update(part)
    return digest.digest()


def tree_keys(tree: Path, key: bytes, *, most_files: int, most_bytes: int) -> TreeKeys:
    """The digests of the files below `tree`; of larger ones than `most_bytes`, and of no more files, there are none.

    Reads every file; links are not followed. Raises OSError where the tree cannot be read.
    """
    keys = TreeKeys()
    order = blake2b(key=key, digest_size=DIGEST_BYTES)
    for name, mode, content in _files(tree, most_bytes):
        order.update(b"%d\0%b%d" % (len(name), name, mode))
        if len(keys.contents) < most_files and content is not None:
            keys.contents[name] = keyed(key, name, content)
    structure = order.digest()
    for name, digest in keys.contents.items():
        keys.places[name] = keyed(key, structure, digest)
    return keys


def _files(tree: Path, most: int) -> Iterator[tuple[bytes, int, bytes | None]]:
    """Relative name, executable bits and content of each regular file, in an order that the names alone decide."""
    root = os.fsencode(tree)
    for directory, folders, names, descriptor in os.fwalk(root):
        folders.sort()
        prefix = directory[len(root) + 1 :] + b"/" if directory != root else b""
        for name in sorted(names):
            found = _read(name, descriptor, most)
            if found is not None:
                yield prefix + name, *found


def _read(name: bytes, directory: int, most: int) -> tuple[int, bytes | None] | None:
    try:
        file = os.open(name, _FILE, dir_fd=directory)
    except OSError:
        return None  # a link, or what may not be read: nothing is known of it
    with os.fdopen(file, "rb", buffering=0) as stream:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            return None
        content = stream.read(status.st_size) if status.st_size <= most else None
    return status.st_mode & 0o111, content
