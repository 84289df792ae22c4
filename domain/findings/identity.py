"""What identifies a finding from one run to the next: hashes of its line and of what it is about."""

from hashlib import blake2b, sha256

HASH_DIGITS = 16
"""Hexadecimal digits of a hash: 64 bits."""

MODULE = "<module>"
"""The identity of a finding about a module as a whole, which has no qualified name."""


def line_hash(line: bytes) -> str:
    """Return 16 hexadecimal digits of BLAKE2b of the line without ASCII white space."""
    return blake2b(b"".join(line.split()), digest_size=HASH_DIGITS // 2).hexdigest()


def content_digest(data: bytes) -> str:
    """Return the first 16 hexadecimal digits of SHA-256 of a file's bytes."""
    return sha256(data).hexdigest()[:HASH_DIGITS]


def fingerprint(metric: str, family: str, identity: str, function: str | None) -> str:
    """Return the first 16 hexadecimal digits of SHA-256 over the four texts, with NUL between them.

    No path is part of it, so a finding keeps its fingerprint when its file is renamed.
    """
    key = "\0".join((metric, family, identity, function or ""))
    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_DIGITS]
