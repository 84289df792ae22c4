"""Digests under which facts about files are cached. A digest covers everything that the facts depend on.

The worker computes them, because it does not parse the files: no file of a tree can influence another's digest.
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

_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""The process that filled scratch may be compromised, so follow no link and wait for no pipe."""

_OUR_PACKAGES = ("collectors", "domain")


@dataclass(frozen=True, slots=True)
class TreeKeys:
    """Digests by a file's relative path, in bytes.

    Those in `contents` depend on the file's content and path. Those in `in_tree` also depend on the paths and
    executable bits of all files of the tree, and on the names of its other entries, which ruff takes into account.
    """

    contents: dict[bytes, bytes] = field(default_factory=dict)
    in_tree: dict[bytes, bytes] = field(default_factory=dict)


def code_digest() -> bytes:
    """Return the digest of the code that finds facts: this program's sources, installed distributions, and Python."""
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
    """Return names and versions, as in the names of the metadata directories."""
    found: set[str] = set()
    for place in filter(os.path.isdir, sys.path):
        found.update(name for name in os.listdir(place) if name.endswith((".dist-info", ".egg-info")))  # noqa: PTH208
    return sorted(found)


def derive_key(*parts: bytes) -> bytes:
    """Return a key for digests. Keys differ if any of the parts differs."""
    digest = blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        digest.update(b"%d\0" % len(part) + part)
    return digest.digest()


def keyed_digest(key: bytes, *parts: bytes) -> bytes:
    """Return the digest of the parts. Each is preceded by its length, so that other divisions give other digests."""
    digest = blake2b(key=key, digest_size=DIGEST_BYTES)
    for part in parts:
        digest.update(b"%d\0" % len(part))
        digest.update(part)
    return digest.digest()


def tree_keys(tree: Path, key: bytes, *, max_files: int, max_file_bytes: int) -> TreeKeys:
    """Return the digests of at most `max_files` files below `tree`, each of at most `max_file_bytes`.

    Reads every file, and follows no links. Raises OSError if the tree cannot be read.
    """
    keys = TreeKeys()
    structure_hash = blake2b(key=key, digest_size=DIGEST_BYTES)
    for name, mode, content in _files(tree, max_file_bytes):
        structure_hash.update(b"%d\0%b%d" % (len(name), name, mode))
        if len(keys.contents) < max_files and content is not None:
            keys.contents[name] = keyed_digest(key, name, content)
    structure = structure_hash.digest()
    for name, digest in keys.contents.items():
        keys.in_tree[name] = keyed_digest(key, structure, digest)
    return keys


def _files(tree: Path, max_bytes: int) -> Iterator[tuple[bytes, int, bytes | None]]:
    """Yield relative path, executable bits and content of each regular file, in an order that depends on names only.

    The path of a directory ends with a slash. A directory has no content, and neither has a placeholder.
    """
    root = os.fsencode(tree)
    for directory, folders, names, descriptor in os.fwalk(root):
        folders.sort()
        prefix = directory[len(root) + 1 :] + b"/" if directory != root else b""
        yield prefix, 0, None
        for name in sorted(names):
            found = _read(name, descriptor, max_bytes)
            if found is not None:
                yield prefix + name, *found


def _read(name: bytes, directory: int, max_bytes: int) -> tuple[int, bytes | None] | None:
    try:
        if _is_placeholder(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            return 0, None
        file = os.open(name, _OPEN_FLAGS, dir_fd=directory)
    except OSError:
        return None  # a link, or a file without read permission
    with os.fdopen(file, "rb", buffering=0) as stream:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            return None
        content = stream.read(status.st_size) if status.st_size <= max_bytes else None
    return status.st_mode & 0o111, content


def _is_placeholder(mode: int) -> bool:
    """Return whether a file stands for one that was not copied: it has no permission at all."""
    return stat.S_ISREG(mode) and not stat.S_IMODE(mode)
